"""The commands that ask a server, with what they need to be called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

# By the words of a command; FILM and CAPTIONS are files that are there.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "index": ("FILM",),
    "search": ("a text",),
    "videos list": (),
    "videos show": ("a",),
    "videos count": (),
    "videos delete": ("a",),
    "videos update": ("a", "{}"),
    "models list": (),
    "models switch": ("a", "b"),
    "evaluate": ("CAPTIONS",),
}
# Those that ask a server beside what else they do.
OTHERS = {"gallery migrate", "bench load", "bench overload", "bench soak"}


def asking(command: click.Command, path: str = "") -> Iterator[str]:
    """The commands that take a server's address."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from asking(each, f"{path} {name}".strip())
    elif any("--server" in option.opts for option in command.params):
        yield path


def line(command: str, folder: Path) -> list[str]:
    """What calls a command, but for the server; its files are made in ``folder``."""
    film, captions = folder / "a.mp4", folder / "captions.jsonl"
    film.write_bytes(b"film")
    captions.write_text(json.dumps({"video": "a", "captions": ["a text"]}))
    files = {"FILM": str(film), "CAPTIONS": str(captions)}
    return [*command.split(), *(files.get(argument, argument) for argument in COMMANDS[command])]
