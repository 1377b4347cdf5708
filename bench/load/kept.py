"""Rows of a run that is ended early, by Ctrl-C or by an error, are kept too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import click

from ..rows import write
from .windows import Row


class Kept:
    """Takes a run's rows as each is there, shows it, and adds all to the file of ``kind`` in ``folder``.

    A context manager: a block that ends without ``finish`` leaves what it has so far, marked ``ended_early``.
    """

    def __init__(self, kind: str, folder: Path, show: Callable[[Row], None]) -> None:
        self._kind, self._folder, self._show = kind, folder, show
        self._rows: list[Row] = []

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows:
            path = write(self._kind, [{**row, "ended_early": True} for row in self._rows], self._folder)
            click.echo(f"\nended early: the {len(self._rows)} rows so far are in {path}", err=True)

    def __call__(self, row: Row) -> None:
        """Keep a row, which may still be added to."""
        self._rows.append(row)
        self._show(row)

    def finish(self, rows: Sequence[Row]) -> Path:
        """Write the rows of the whole run instead; the file."""
        path = write(self._kind, rows, self._folder)
        self._rows.clear()
        return path
