"""What users import from the top: which names there are, and what loading them costs."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import framesift
from framesift import AsyncClient, Client, errors
from framesift.export.bundle.errors import FramesiftError

CHANGELOG = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
# Of framesift's own modules.
MOST_MODULES = 29


def loaded(code: str) -> set[str]:
    """The modules that an interpreter of its own has after ``code``."""
    program = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "framesift"}


def tree(root: type[FramesiftError]) -> Iterator[type[FramesiftError]]:
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


def test_everything_that_is_named_is_there_and_nothing_else() -> None:
    namespace: dict[str, object] = {}
    exec("from framesift import *", namespace)
    assert sorted(namespace.keys() - {"__builtins__"}) == sorted(framesift.__all__)
    for name in set(framesift.__all__) - {"__version__", "errors"}:
        assert getattr(framesift, name).__name__ == name
    assert set(framesift.__all__) <= set(dir(framesift))
    with pytest.raises(AttributeError, match="module 'framesift' has no attribute 'Server'"):
        framesift.Server  # noqa: B018


def test_every_type_that_a_call_returns_is_named() -> None:
    returned = {typing.get_type_hints(method)["return"] for _, method in methods(Client)}
    found: set[type] = set()
    while returned:
        kind = returned.pop()
        if kind not in found:
            found.add(kind)
            returned |= set(typing.get_args(kind))
            if dataclasses.is_dataclass(kind):
                returned |= set(typing.get_type_hints(kind).values())
    own = {kind.__name__ for kind in found if getattr(kind, "__module__", "").startswith("framesift")}
    assert {"SearchResult", "Hit", "Indexed"} <= own
    assert own <= set(framesift.__all__)


def methods(client: type) -> list[tuple[str, typing.Any]]:
    return [(name, found) for name, found in inspect.getmembers(client, callable) if not name.startswith("_")]


def test_both_clients_have_the_same_calls() -> None:
    def told(client: type) -> dict[str, str]:
        return {name: str(inspect.signature(method)) for name, method in methods(client)}

    asynchronous = {
        name: signature.replace("AsyncIterator", "Iterator") for name, signature in told(AsyncClient).items()
    }
    assert told(Client) == asynchronous
    assert inspect.signature(Client) == inspect.signature(AsyncClient)
    assert all(
        inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method) for _, method in methods(AsyncClient)
    )
    assert all(method.__doc__ for _, method in [*methods(Client), *methods(AsyncClient)])


def test_the_version_has_its_section_in_the_changelog() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", CHANGELOG, re.MULTILINE)
    assert released[0] == framesift.__version__


def test_the_whole_tree_of_exceptions_can_be_imported() -> None:
    defined = {kind.__name__: kind for kind in tree(FramesiftError)}
    assert {name: getattr(errors, name) for name in errors.__all__} == defined
    assert errors.__doc__ is not None
    for kind in defined.values():
        assert f" {kind.__name__} " in errors.__doc__.replace("\n", " ")
    codes = [kind.code for kind in defined.values()]
    assert len(set(codes)) == len(codes)


def test_importing_framesift_loads_nothing_else_of_it() -> None:
    assert ours(loaded("import framesift")) == {"framesift"}


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_a_client_is_light(name: str) -> None:
    modules = loaded(f"from framesift import {name}")
    assert len(ours(modules)) <= MOST_MODULES, sorted(ours(modules))
    for package in ("kernels", "serving.backends", "serving.gallery", "serving.repository", "serving.search"):
        assert not [module for module in modules if module.startswith(f"framesift.{package}")]
    assert "torch" not in modules


def test_exceptions_are_lighter_still() -> None:
    modules = loaded("from framesift.errors import InvalidVideo")
    assert not {"grpc", "numpy", "tritonclient"} & modules
    assert len(ours(modules)) == 5


def test_a_checkout_that_hides_what_is_installed_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "framesift").symlink_to(Path(__file__).parents[1], target_is_directory=True)
    (tmp_path / "site" / "framesift").mkdir(parents=True)
    (tmp_path / "site" / "framesift" / "__init__.py").write_text("")
    for script in ("work/script.py", "elsewhere.py"):
        (tmp_path / script).write_text("import framesift\nprint(framesift.__file__)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def run(*arguments: str) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
        )
        return done.stdout.strip(), done.stderr

    path, said = run("work/script.py")
    assert path == str(tmp_path / "work" / "framesift" / "__init__.py")
    assert f"imported from the checkout {tmp_path}/work/framesift and not from {tmp_path}/site" in said
    assert "call its folder anything else" in said
    assert run("elsewhere.py") == (str(tmp_path / "site" / "framesift" / "__init__.py"), "")
    del environment["PYTHONPATH"]
    assert "checkout" not in run("work/script.py")[1]
