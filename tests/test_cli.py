"""The command line: quick help, and errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift import __version__
from framesift.__main__ import main


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy; sys.argv = ['framesift', '--help']\n"
        "try: runpy.run_module('framesift', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'lancedb', 'av', 'grpc'} & set(sys.modules)\n"
        "print(len(sys.modules))\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "framesift demo" in run.stdout
    # A quick start is one that imports little: click and the commands make 214.
    assert int(run.stdout.split()[-1]) < 300


def test_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


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
