"""The layout: the root is the package, every sub-package is declared, and no file is long."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("export", "kernels", "serving", "bench") for path in (ROOT / folder).rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_sub_package_is_declared() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"framesift"} | {f"framesift.{dotted(path).rpartition('.')[0]}" for path in SOURCES}
    assert declared == found


def test_what_must_not_be_a_package_is_none() -> None:
    # With an __init__ here, `import kernels` or `import tests` at the root would shadow other distributions.
    assert not [*(ROOT / "kernels").rglob("__init__.py")]
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


def test_no_file_is_a_monster() -> None:
    written = (*SOURCES, *ROOT.glob("kernels/**/*.[ch]"))
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in written}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
