"""The layout: the root is the package, every sub-package is declared, and imports point one way."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("export", "kernels", "serving", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if not path.name.startswith(("test_", "bench_")) and path.name != "conftest.py"
)
# Each room may import itself and the rooms before it.
ROOMS = ("kernels", "export.bundle", "export", "serving", "bench")


def room(module: str) -> int:
    """The place of a module (dotted, below framesift) in the order of rooms."""
    if module.startswith("export.bundle"):
        return ROOMS.index("export.bundle")
    return ROOMS.index(module.split(".")[0])


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """Every module of framesift that a file imports, as (line, dotted name below framesift)."""
    found = []
    package = dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            found.append((node.lineno, ".".join([*base, node.module or ""]).strip(".")))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("framesift"):
            found.append((node.lineno, "ABSOLUTE " + (node.module or "")))
        elif isinstance(node, ast.Import):
            found.extend((node.lineno, "ABSOLUTE " + a.name) for a in node.names if a.name.startswith("framesift"))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_imports_point_one_way(path: Path) -> None:
    for line, module in imports(path):
        assert not module.startswith("ABSOLUTE"), f"{path}:{line} imports {module}: use a relative import"
        if module:
            assert room(module) <= room(dotted(path)), f"{path}:{line} imports {module}, which stands further right"


def test_every_sub_package_is_declared() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"framesift"} | {f"framesift.{dotted(path).rpartition('.')[0]}" for path in SOURCES}
    assert declared == found


def test_what_must_not_be_a_package_is_none() -> None:
    # With an __init__ here, `import kernels` or `import tests` at the root would shadow other distributions.
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


def test_the_bundle_needs_no_torch() -> None:
    for path in (*(ROOT / "export/bundle").rglob("*.py"), *(ROOT / "serving/backends").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "torch" for name in names), path


def test_no_file_is_a_monster() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
