"""The commands of ``framesift bench``: quick help, and options that are checked before anything is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench import commands
from framesift.bench.options import MODELS, OWN
from framesift.bench.runs.commands import last_lines


def measuring(group: click.Group, words: tuple[str, ...] = ("bench",)) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= measuring(command, (*words, name))
        elif name not in ("report", "scale", "checkpoint"):
            found[" ".join((*words, name))] = command
    return found


MEASURING = measuring(commands.bench_group)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from framesift.__main__ import main\n"
        "for line in sys.argv[1:]:\n"
        "    assert CliRunner().invoke(main, [*line.split(), '--help']).exit_code == 0, line\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'lance', 'av', 'grpc', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "bench", "bench report", *MEASURING], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", MEASURING)
def test_options_of_one_name_mean_the_same(name: str) -> None:
    options = {option.name: option for option in MEASURING[name].params}
    assert options["results"].default == OWN
    if "work" in options:
        assert options["work"].default == "work/bench"
    for option in options.values():
        assert isinstance(option, click.Argument) or option.help, f"{option.name} has no help"
    if "model" in options:
        assert isinstance(options["model"].type, click.Choice)
        assert tuple(options["model"].type.choices) == MODELS


def test_a_folder_that_can_not_be_written_to_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["bench", "stages", "--results", str(tmp_path / "file" / "below")])
    assert done.exit_code == 2
    assert "can't be written to" in " ".join(done.output.split())


def test_a_pattern_that_is_none_is_told() -> None:
    for command in (["stages"], ["compare", "HEAD"], ["engines"]):
        option = "--systems" if command == ["engines"] else "--cases"
        done = CliRunner().invoke(main, ["bench", *command, option, "("])
        assert done.exit_code == 2
        assert "is no regular expression" in " ".join(done.output.split())


PRINTED = """\
5/6  Search: captions through the search ensemble

  a small dot appears
  * 1. 0.9  a.mp4

  a large cross moves
  * 1. 0.8  b.mp4

6/6  Compare: served rankings with eager PyTorch's
served  99.2

Done in 46 s. To go on by hand:

  framesift serve /home/someone/bundle
"""


def test_the_demos_last_lines_end_before_this_machines_folders() -> None:
    assert last_lines(PRINTED) == (
        "a large cross moves",
        "  * 1. 0.8  b.mp4",
        "",
        "6/6  Compare: served rankings with eager PyTorch's",
        "served  99.2",
        "",
        "Done in 46 s.",
    )
