"""The page of commands is what the commands say, and every command's examples can be typed."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from framesift.__main__ import main

from .documents import ROOT, lay_out, parse

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def commands(group: click.Group, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        found += commands(command, f"{prefix}{name} ") if isinstance(command, click.Group) else [prefix + name]
    return found


ALL = commands(main)


def examples(name: str) -> list[str]:
    """The example lines of a command's help, continued lines joined."""
    told = CliRunner().invoke(main, [*name.split(), "--help"], max_content_width=100).output
    part = re.search(r"Examples?:\n((?: {4,}.*\n)+)", told)
    return [line.strip() for line in (part[1] if part else "").replace("\\\n", " ").splitlines()]


def test_the_page_is_what_the_commands_say() -> None:
    render = runpy.run_path(str(ROOT / "docs" / "render_commands.py"))
    assert render["page"]() == PAGE, "run `make docs`"


def test_another_page_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "render_commands.py"
    script.write_bytes((ROOT / "docs" / "render_commands.py").read_bytes())
    (tmp_path / "commands.md").write_text(PAGE.replace("## framesift serve\n", ""), encoding="utf-8")
    render = runpy.run_path(str(script))
    assert render["main"](["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert render["main"]([]) == 0
    assert render["main"](["--check"]) == 0
    assert (tmp_path / "commands.md").read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_an_example_and_a_section(name: str) -> None:
    assert any(line.startswith(f"framesift {name}") for line in examples(name)), "no example"
    assert f"\n## framesift {name}\n" in PAGE


@pytest.mark.parametrize("line", [line for name in ALL for line in examples(name)])
def test_examples_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(line, tmp_path)
    parse(line)
