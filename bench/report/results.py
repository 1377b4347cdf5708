"""The newest rows of every kind in a folder, read when they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from ..schema.files import newest
from ..schema.kinds import LOAD
from ..schema.load import Window
from ..schema.row import Kind, Row

Made = TypeVar("Made", bound=Row)


class Results:
    """What the commands left in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, Any] = {}

    def of(self, kind: Kind[Made]) -> list[Made]:
        """The rows of a kind; see ``newest``.

        Raises:
            InvalidInput: a row that can't be read.
        """
        if kind.name not in self._found:
            self._found[kind.name] = newest(kind, self.folder)
        found: list[Made] = self._found[kind.name]
        return found

    def searches(self) -> list[Window]:
        """Windows of searches alone."""
        return [row for row in self.of(LOAD) if row.scenario == "search"]

    def saturated(self) -> dict[str, Window]:
        """For each model the closed loop of searches with the most answers a second."""
        loops = [row for row in self.searches() if row.loop == "closed" and row.server.processes]
        return {row.model: row for row in sorted(loops, key=lambda row: row.qps)}


def measured_on(kind: Kind[Any], results: Results) -> str:
    """What the rows of a kind were measured on, in one line; nothing where there are none."""
    rows = results.of(kind)
    return str(rows[-1].machine) if rows else ""
