"""The command line: help that imports little, and errors without tracebacks."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

import framesift
from framesift import __version__
from framesift.__main__ import EXTRAS, main
from framesift.export.bundle.scorers import CROSS_ENCODER
from framesift.kernels.library import NOT_COMPILED, compiled

ROOT = Path(__file__).parents[1]
# What every installation has.
PLAIN = {"click", "google", "grpc", "numpy", "tritonclient"}
# What torch, the server or the caller of a kernel brings.
BROUGHT = {"triton", "triton_python_backend_utils"}
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "lance", "av", "grpc"}

ASK_ALL = """
import sys
import click
from framesift.__main__ import main

def ask(command, words):
    try:
        command.main([*words, "--help"], prog_name="framesift")
    except SystemExit as end:
        assert not end.code
    found = command
    for word in words:
        found = found.commands[word]
    for name in getattr(found, "commands", ()):
        ask(command, [*words, name])

ask(main, [])
print("modules:", *sys.modules)
"""


def test_no_help_imports_anything_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", ASK_ALL], capture_output=True, text=True, check=True)
    told, _, modules = done.stdout.rpartition("modules:")
    assert told.count("Usage: framesift") > 25
    assert "framesift demo" in told
    assert not HEAVY & set(modules.split())
    # A quick start is one that imports little: click and the commands make 214.
    assert len(modules.split()) < 300


def test_every_module_that_an_extra_brings_is_known() -> None:
    sources = [path for folder in ("bench", "export", "kernels", "serving") for path in (ROOT / folder).rglob("*.py")]
    named: set[str] = set()
    for path in sources:
        if path.name.startswith(("bench_", "conftest")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                named.add(str(node.module).partition(".")[0])
    assert named - sys.stdlib_module_names - PLAIN - BROUGHT <= EXTRAS.keys()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {extra for extras in EXTRAS.values() for extra in extras.split(",")} <= declared.keys()


_CHECKPOINT = files("framesift.export.demo") / "demo.safetensors"


@pytest.mark.parametrize(
    ("arguments", "absent", "said"),
    [
        (["export", str(_CHECKPOINT), "--out", "bundle"], "torch", "pip install 'framesift[export]'"),
        (
            ["serve", "bundle", "--gallery", "g"],
            "pyarrow",
            "pip install 'framesift[server]', in an environment of its own",
        ),
        (["demo"], "av", "pip install 'framesift[export,server]'"),
    ],
)
def test_a_missing_extra_is_named(arguments: list[str], absent: str, said: str, tmp_path: Path) -> None:
    code = f"import sys\nsys.modules[{absent!r}] = None\nfrom framesift.__main__ import main\nmain({arguments!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"this command needs {absent}, which is not installed: {said}" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_gives_the_short_list_of_the_card() -> None:
    shown = CliRunner().invoke(main, ["export", "--help"], terminal_width=200).output
    assert CROSS_ENCODER.shortlist is not None
    assert f"re-ranks for a query. [default: {CROSS_ENCODER.shortlist}; 10 of All-in-one]" in " ".join(shown.split())


def test_who_reads_no_more_is_told_nothing(tmp_path: Path) -> None:
    told = ["token", "x", "--role", "search", "--tokens", str(tmp_path / "tokens")]
    command = [sys.executable, "-m", "framesift", *told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        said = run.stderr.read()
    assert (run.returncode, said) == (1, "")


def test_version() -> None:
    shown = CliRunner().invoke(main, ["--version"]).output.splitlines()
    assert shown == [
        f"framesift, version {__version__} from {Path(framesift.__file__).parent}",
        f"scorer: {compiled() or NOT_COMPILED}",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "absent.pt", "--out", "b"], "there is no checkpoint at absent.pt"),
        (["check", "absent"], "absent is not a bundle"),
        (
            ["finetune", "absent.jsonl", "--out", "o.safetensors", "--scratch", "tiny"],
            "there is no manifest at absent.jsonl",
        ),
        (["finetune", "m.jsonl", "--out", "o.safetensors"], "give either --init CHECKPOINT or --scratch"),
        (["finetune", "m.jsonl", "--out", "o.pt", "--scratch", "tiny"], "must end in .safetensors"),
        (["repository", "deploy", "absent", "out"], "absent is not a bundle"),
        (["serve", "absent", "--gallery", "g"], "absent is not a bundle"),
    ],
)
def test_errors_say_what_was_wrong(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in {1, 2}
    assert said in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
