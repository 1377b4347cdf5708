"""Reading text files; faults are named by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..bundle.errors import InvalidInput

_SHOWN = 20


class Faults:
    """What is wrong with a file, collected so that one run names all of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Note that ``what`` is wrong at ``where``, a line or an entry."""
        self.found.append(f"{where}: {what}")

    def demand_none(self) -> None:
        """Raise InvalidInput if there are any."""
        if self.found:
            more = f"\n  and {len(self.found) - _SHOWN} more" if len(self.found) > _SHOWN else ""
            raise InvalidInput(f"{self.file} can't be used:\n  " + "\n  ".join(self.found[:_SHOWN]) + more)


def read_text(file: Path) -> str:
    """A file's text, a byte-order mark removed.

    Raises:
        InvalidInput: no such file, or not UTF-8; the line is named.
    """
    if not file.is_file():
        raise InvalidInput(f"there is no file of captions at {file}")
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{file} can't be used:\n  line {line}: not UTF-8: {error.reason}") from error


def read_json(file: Path) -> Any:
    """A file's JSON value.

    Raises:
        InvalidInput: no such file, or not JSON; the line is named.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{file} can't be used:\n  line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise InvalidInput(f"{file} can't be used: its JSON is nested too deeply") from error


def lines(file: Path) -> Iterator[tuple[str, str]]:
    """The lines that aren't blank, each with its name for messages, ``line 3``."""
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            yield f"line {number}", line.rstrip("\r")
