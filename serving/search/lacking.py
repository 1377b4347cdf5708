"""Rows of a view without facts: facts are read of a later version, which a row may have left meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...export.bundle.errors import ServerUnavailable
from ...export.bundle.ports import ID, SEGMENT
from .facts import Facts, Piece
from .view import Numbers, View

# So many are looked up at once. There are more only while much changes in the moment in which facts are read.
_MOST = 4096


class Lacking:
    """Finds such rows, by a look at every row once; not to be shared between threads."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._ids: Sequence[str] = ()
        self._seen = 0
        self._rows: Numbers = np.empty(0, np.int64)

    def piece(self, view: View, pieces: tuple[Piece, ...]) -> Piece | None:
        """What is known now of the videos of a view's rows of which ``pieces`` have nothing; None where there are none.

        Args:
            pieces: all that was read, up to the view's last row at least.

        Raises:
            GalleryError: the gallery can't be read.
            ServerUnavailable: there are too many of them.
        """
        if self._ids is not view.ids:
            self._ids, self._seen, self._rows = view.ids, 0, np.empty(0, np.int64)
        if self._seen < len(view.numbers):
            fresh = self._seen + _without(view.numbers[self._seen :], pieces)
            self._rows, self._seen = np.concatenate([self._rows, fresh]), len(view.numbers)
        rows = self._rows[self._rows < len(view.numbers)]
        if len(rows) and (live := view.live()) is not None:
            rows = rows[live[rows]]
        if len(rows) > _MOST:
            raise ServerUnavailable("more videos have changed than filters could follow: try again in a moment")
        return self._now(view, rows.tolist()) if len(rows) else None

    def _now(self, view: View, rows: list[int]) -> Piece | None:
        newest = self._facts.newest(list(dict.fromkeys(view.ids[row] for row in rows)))
        if newest is None:
            return None
        own = zip(newest.texts[ID].to_pylist(), newest.values[SEGMENT].tolist(), strict=True)
        places = {key: place for place, key in enumerate(own)}
        keys = [(view.ids[row], 0 if view.segments is None else int(view.segments[row])) for row in rows]
        # A film that is cut otherwise now may lack some of its rows, but never the first.
        there = [number for number, key in enumerate(keys) if key in places]
        if not there:
            return None
        found = newest.take(np.array([places[keys[number]] for number in there], np.intp))
        return replace(found, numbers=view.numbers[np.array(rows, np.int64)[there]])


def _without(numbers: Numbers, pieces: tuple[Piece, ...]) -> Numbers:
    """The places of those numbers, ascending, that are in no piece."""
    there = np.zeros(len(numbers), np.bool_)
    for piece in pieces:
        if piece.numbers[-1] >= numbers[0]:
            places = np.minimum(np.searchsorted(piece.numbers, numbers), len(piece.numbers) - 1)
            there |= piece.numbers[places] == numbers
    return np.flatnonzero(~there)
