"""Results on disk: ``<file>_<date>.jsonl``, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import click

from ...export.bundle.errors import InvalidInput
from .codec import decoded, encoded
from .kinds import KINDS
from .machine import Machine, here
from .row import Kind, Row

RESULTS = Path(__file__).parents[1] / "results"

Made = TypeVar("Made", bound=Row)


def write(file: str, rows: Iterable[Row], folder: Path, machine: Machine | None = None) -> Path:
    """Add rows to today's file, each as it comes: what is there outlasts a run that is ended early.

    Args:
        file: as the kinds of the rows have it.
        machine: what they were measured on, if not what ``here`` returns.
    """
    on = machine or here()
    names = {kind.row: kind.name for kind in KINDS.values() if kind.file == file}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file}_{on.date}.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        for row in rows:
            line = {"kind": names[type(row)], **encoded(row), "machine": encoded(on)}
            stream.write(json.dumps(line) + "\n")
            stream.flush()
    return path


def read(path: Path) -> list[tuple[Kind[Any], Row]]:
    """The rows of a file, each with its kind.

    Raises:
        InvalidInput: a row of an unknown kind, or that isn't as its kind says.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_row(line, f"line {number} of {path}") for number, line in enumerate(lines, start=1)]


def newest(kind: Kind[Made], folder: Path) -> list[Made]:
    """The rows of a kind in its newest file, none where there is no such file.

    Runs that ended early count only if there is no other.

    Raises:
        InvalidInput: as ``read``.
    """
    path = max(folder.glob(f"{kind.file}_[0-9]*.jsonl"), default=None)
    found: list[Any] = [row for its, row in read(path) if its.name == kind.name] if path else []
    return [row for row in found if not row.ended_early] or found


def _row(line: str, place: str) -> tuple[Kind[Any], Row]:
    try:
        given = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"{place} is no JSON: {error}") from error
    name = given.pop("kind", None) if isinstance(given, dict) else None
    if name not in KINDS:
        raise InvalidInput(f"{place} is of the kind {name!r}; known are {', '.join(KINDS)}")
    kind = KINDS[name]
    try:
        row: Row = decoded(kind.row, given, place)
    except InvalidInput as error:
        raise InvalidInput(f"{error}: `{kind.command}` writes rows of the kind {name}, measure again") from error
    if not row.machine.date:
        raise InvalidInput(f"{place} does not say on what and when it was measured")
    return kind, row


class RowWriter(Generic[Made]):
    """Takes a run's rows as each is there, shows it, and adds all to a file in the end.

    A context manager: a block that ends without ``finish``, by Ctrl-C or an error, leaves what it has so far, marked
    ``ended_early``.
    """

    def __init__(self, file: str, folder: Path, show: Callable[[Made], None]) -> None:
        self._file, self._folder, self._show = file, folder, show
        self._rows: list[Made] = []

    def __enter__(self) -> RowWriter[Made]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows:
            path = write(self._file, [replace(row, ended_early=True) for row in self._rows], self._folder)
            click.echo(f"\nended early: the {len(self._rows)} rows so far are in {path}", err=True)

    def __call__(self, row: Made) -> None:
        """Keep a row."""
        self._rows.append(row)
        self._show(row)

    def finish(self, rows: Sequence[Row]) -> Path:
        """Write the rows of the whole run instead; the file."""
        path = write(self._file, rows, self._folder)
        self._rows.clear()
        return path
