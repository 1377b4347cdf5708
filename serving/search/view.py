"""One state of the gallery in memory, or a part of one: what a search reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """One state of the gallery; never changes. Rows are in the order in which they were indexed.

    ``tensors`` hold [R, ...] per record tensor, in the dtype of the gallery's schema, or [ceil(R / L), n, L] where the
    scorer reads L rows side by side, and ``timestamps`` float32 [R, F] seconds. ``dead`` lists the rows that have been
    removed or replaced since the arrays were built: R = ``count`` + the number of dead rows. ``ids`` may be longer
    than R. ``numbers`` int64 [R] are the rows' own, which ascend and stay the same for ever; ``died`` int64 is the
    version in which each of ``dead`` was found gone, and ``since`` the oldest version that can be told from that.

    ``segments`` and ``counts`` int32 [R] say which part of its film a row is, of how many; the rows of one film lie
    side by side. None where no film is cut, and where every row is to stand for itself.

    A part of a state holds the same arrays. ``chosen`` lists its ``count`` rows, ascending and none of them dead, and
    ``named`` says that a search named them itself, so that a ranker with a short list takes them for it.
    """

    version: int
    count: int
    ids: Sequence[str]
    tensors: Mapping[str, npt.NDArray[Any]]
    timestamps: npt.NDArray[np.float32]
    dead: npt.NDArray[np.intp]
    chosen: npt.NDArray[np.int64] | None = None
    named: bool = False
    numbers: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    died: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    since: int = 0
    segments: npt.NDArray[np.int32] | None = None
    counts: npt.NDArray[np.int32] | None = None

    @cached_property
    def videos(self) -> int:
        """How many videos the rows are of that may be found."""
        return self.count if self.segments is None else len(self.one_each())

    def films(self, rows: npt.NDArray[Any]) -> Numbers:
        """What stands for the videos of some rows: the number of each one's first row."""
        numbers = self.numbers[rows]
        films: Numbers = numbers if self.segments is None else numbers - self.segments[rows]
        return films

    def one_each(self) -> npt.NDArray[np.int64]:
        """Of the rows that may be found the first of every video."""
        rows = self.rows()
        return rows if self.segments is None else rows[np.unique(self.films(rows), return_index=True)[1]]

    def beside(self, row: int) -> range:
        """All rows of the video of one."""
        if self.segments is None or self.counts is None:
            return range(row, row + 1)
        first = row - int(self.segments[row])
        return range(max(0, first), min(first + int(self.counts[row]), len(self.timestamps)))

    def live(self) -> npt.NDArray[np.bool_] | None:
        """Which rows may be found, bool [R]; None for all."""
        if self.chosen is None and not len(self.dead):
            return None
        live = np.full(len(self.timestamps), self.chosen is None)
        live[self.dead if self.chosen is None else self.chosen] = self.chosen is not None
        return live

    def rows(self) -> npt.NDArray[np.int64]:
        """The rows that may be found, ascending."""
        return np.delete(np.arange(len(self.timestamps)), self.dead) if self.chosen is None else self.chosen

    def searched(self) -> dict[str, Any]:
        """What may be found, as the compiled scans take it: ``rows`` or ``live``.

        They read nothing else, and a list costs them what a mask of the same rows does.
        """
        return {"live": self.live()} if self.chosen is None else {"rows": self.chosen}

    def without(self, rows: Collection[int]) -> View:
        """This state, or part of one, without some more rows."""
        if not rows:
            return self
        gone = np.array(sorted(rows), np.int64)
        if self.chosen is not None:
            chosen = np.setdiff1d(self.chosen, gone)
            return replace(self, chosen=chosen, count=len(chosen))
        dead = np.union1d(self.dead, gone)
        return replace(self, dead=dead, count=len(self.timestamps) - len(dead))
