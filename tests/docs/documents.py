"""The documents of the checkout, and what is found in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from framesift.__main__ import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def name(document: Path) -> str:
    """The path below the checkout."""
    return str(document.relative_to(ROOT))


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def console(document: Path) -> list[str]:
    """The lines that a reader types, without prompts, comments and variables."""
    lines = [line for block in blocks(document, "console") for line in block.splitlines() if line.startswith("$ ")]
    typed = (line.removeprefix("$ ").partition("   #")[0].strip() for line in lines)
    return [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line) for line in typed]


def lay_out(line: str, folder: Path) -> None:
    """Make the files and folders that a command asks for before it does anything."""
    for word in shlex.split(line):
        if word.endswith("/"):
            (folder / word).mkdir(parents=True)
        elif word.endswith((".txt", ".crt", ".key")) or word in ("tokens", "facts.jsonl"):
            (folder / word).touch()


def parse(line: str) -> click.Context:
    """A command line of framesift, parsed as the shell and click would; nothing is run.

    Raises:
        click.UsageError, LookupError: it names a command or an option that does not exist.
    """
    program, *words = shlex.split(line)
    if program != "framesift":
        raise LookupError(f"{program} is not framesift")
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        if found is None:
            raise LookupError(f"{line}: there is no command {words[0]}")
        command = found
        context = click.Context(command, context, words.pop(0))
    return command.make_context(context.info_name, words, parent=context.parent)
