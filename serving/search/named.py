"""The part of a view that a search names by ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...export.bundle.errors import InvalidRequest
from .view import View


class Named:
    """Rows by their ids, of all views that were asked for so far; not to be shared between threads."""

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._rows: dict[str, int] = {}
        self._seen = 0

    def only(self, view: View, ids: Sequence[str]) -> View:
        """The part of a view that holds the videos of these ids; nothing is copied.

        Raises:
            InvalidRequest: the view holds no video of one of them.
        """
        part, missing = self.among(view, ids)
        if missing:
            raise InvalidRequest(
                f"the gallery has no video {missing[0][:100]!r}, which the search names as a candidate"
            )
        return part

    def among(self, view: View, ids: Sequence[str]) -> tuple[View, list[str]]:
        """The part of a view that holds those of these ids that it has, in the order of indexing, and the others."""
        self._follow(view)
        rows, missing, scanned, gone = list[int](), list[str](), None, set(view.dead.tolist())
        for id_ in dict.fromkeys(ids):
            row = self._rows.get(id_)
            # A later view may have been asked for before; then this one alone knows. An id that no view has costs
            # nothing: whoever names it would keep everybody waiting for a look at all of the gallery's.
            if row is not None and (row >= len(view.timestamps) or view.ids[row] != id_):
                scanned = _rows_of(view) if scanned is None else scanned
                row = scanned.get(id_)
            if row is None or row in gone:
                missing.append(id_)
            else:
                rows.extend(view.beside(row))
        return replace(view, count=len(rows), chosen=np.array(sorted(rows), np.int64), named=True), missing

    def _follow(self, view: View) -> None:
        if self._ids is not view.ids:
            self._ids, self._rows, self._seen = view.ids, {}, 0
        for row in range(self._seen, len(view.timestamps)):
            self._rows[view.ids[row]] = row
        self._seen = max(self._seen, len(view.timestamps))


def _rows_of(view: View) -> dict[str, int]:
    """The rows of a view's videos by their ids; of equal ids the last, which replaced the others."""
    return dict(zip(view.ids, range(len(view.timestamps)), strict=False))
