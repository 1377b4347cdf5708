"""The README's examples are run as they stand, against a real server; its commands must at least parse."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from framesift.__main__ import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
CONSOLE = [
    line.removeprefix("$ ").partition("   #")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("line", [line for line in CONSOLE if line.startswith("framesift ")])
def test_commands_parse(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"README.md names framesift {name}, which does not exist"
        command = found
    command.make_context(command.name, words)


def test_other_commands_are_known() -> None:
    others = {line.split()[0] for line in CONSOLE if not line.startswith("framesift ")}
    assert others == {"make", "pip", "deployments/mine/run.sh"}


@pytest.mark.server
@pytest.mark.long
def test_export_check_deploy_index_search(
    server, demo_checkpoint: Path, clips: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console examples in their order, with the demo's checkpoint and videos in place of the reader's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMESIFT_SERVER", server.grpc_address)
    (tmp_path / "videos").mkdir()
    for clip in clips[:4]:
        (tmp_path / "videos" / clip.video.name).symlink_to(clip.video)
    (tmp_path / "model_best.pth").symlink_to(demo_checkpoint)
    (tmp_path / "demo.safetensors").symlink_to(demo_checkpoint)
    ran = 0
    for line in CONSOLE:
        words = shlex.split(line.replace("model_best.pth", "demo.safetensors"))
        if words[:2] in (["framesift", "serve"], ["framesift", "finetune"]) or words[0] != "framesift":
            continue
        result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
        if "tensorrt" in words and find_spec("tensorrt") is None:
            # TensorRT builds on a GPU alone; without it the command must say what is wrong.
            assert result.output.splitlines()[-1].startswith("Error: "), line
            continue
        assert result.exit_code == 0, f"{line}\n{result.output}"
        ran += 1
    assert ran >= 6
    assert (tmp_path / "deployments/mine/Dockerfile").is_file()


@pytest.mark.server
@pytest.mark.long
def test_python_examples(
    server, clips: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/test-00000.mp4").symlink_to(clips[0].video)
    assert PYTHON
    for block in PYTHON:
        exec(compile(block.replace("127.0.0.1:8001", server.grpc_address), "README.md", "exec"), {})
    assert "at " in capsys.readouterr().out
