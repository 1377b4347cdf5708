"""Imports point one way, between the rooms and within them, and the rooms of the runtime need no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("export", "kernels", "serving", "bench") for path in (ROOT / folder).rglob("*.py"))
# Benchmarks run under pytest, which finds them by their path: they import framesift as a user does.
RUN_BY_PYTEST = {path for path in SOURCES if path.name.startswith("bench_") or path.name == "conftest.py"}

RUNTIME = ("export.bundle", "serving.gallery", "serving.search", "serving.backends")
# What each room may import beside itself. A module belongs to the room with the longest name that begins its own.
ROOMS = {
    "kernels": (),
    "export.bundle": ("kernels",),
    "export": ("kernels", "export.bundle"),
    "serving.gallery": ("kernels", *RUNTIME[:1]),
    "serving.search": ("kernels", *RUNTIME[:2]),
    "serving.backends": ("kernels", *RUNTIME[:3]),
    "serving.repository": ("kernels", *RUNTIME),
    "serving.client": ("export.bundle",),
    "serving.front": ("kernels", *RUNTIME, "serving.repository", "serving.client"),
    "serving.server": ("kernels", *RUNTIME, "serving.repository", "serving.client", "serving.front"),
}
ROOMS["serving.indexing"] = (*ROOMS["serving.backends"], "serving.backends", "serving.repository", "serving.client")
ROOMS["serving.migration"] = (*ROOMS["serving.indexing"], "serving.indexing")
ROOMS["serving.shards"] = (*ROOMS["serving.backends"], "serving.backends", "serving.indexing")
ROOMS["serving"] = tuple(ROOMS)
ROOMS["bench"] = tuple(ROOMS)


def dotted(path: Path) -> str:
    """A file's module, below framesift; a package's is the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in SOURCES}


def room(module: str) -> str:
    return max((name for name in ROOMS if f"{module}.".startswith(f"{name}.")), key=len)


def at_import(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: none of functions, none for type checkers."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from at_import(node.orelse)
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            yield from at_import(getattr(node, part, []))


def imported(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules of framesift and its tests that ``nodes`` import: dotted below framesift, or below the root."""
    package = dotted(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in nodes:
        if isinstance(node, ast.Import):
            for name in node.names:
                assert not name.name.startswith("framesift"), f"{path}:{node.lineno}: use a relative import"
                yield name.name
        elif isinstance(node, ast.ImportFrom):
            own = node.level > 0 or (node.module or "").startswith("framesift")
            assert node.level or not own or path in RUN_BY_PYTEST, f"{path}:{node.lineno}: use a relative import"
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, (node.module or "").removeprefix("framesift.")]).strip(".")
            for name in node.names:
                whole = f"{module}.{name.name}".strip(".")
                yield whole if own and whole in MODULES else module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (part.value for part in node.args[:1] if isinstance(part, ast.Constant))


@pytest.mark.parametrize("here", ROOMS)
def test_imports_point_one_way(here: str) -> None:
    for path in (path for name, path in MODULES.items() if room(name) == here):
        for module in imported(path, ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
            assert module.split(".")[0] != "tests", f"{path} imports {module}"
            there = room(module) if module in MODULES else here
            assert there == here or there in ROOMS[here], f"{here} may not import {there}, and {path} imports {module}"


def test_no_module_waits_for_itself() -> None:
    graph = {
        name: {m for m in imported(path, at_import(ast.parse(path.read_text(encoding="utf-8")).body)) if m in MODULES}
        for name, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


# Whoever asks for torch gets the ModuleNotFoundError of a machine without it.
_WITHOUT_TORCH = """
import importlib, sys
sys.modules["torch"] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.mark.parametrize("folder", [*RUNTIME, "serving.front", "serving.client"])
def test_no_module_of_the_runtime_needs_torch(folder: str) -> None:
    names = [f"framesift.{name}" for name in MODULES if room(name) == folder]
    assert len(names) > 5
    command = [sys.executable, "-c", _WITHOUT_TORCH, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
