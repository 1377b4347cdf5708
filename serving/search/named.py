"""The part of a view that a search names by ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...export.bundle.errors import InvalidRequest
from .view import View


class Named:
    """Rows by their ids, of all views that were asked for so far; not to be shared between threads.

    Whatever ids are named, and of whichever version: what that costs follows from their number, and from how often
    they were replaced, not from the number of all videos.
    """

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._rows: dict[str, int] = {}
        # By a row the last one of the video that it replaced.
        self._before: dict[int, int] = {}
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
        rows, missing = list[int](), list[str]()
        gone = np.zeros(len(view.timestamps), np.bool_)
        gone[view.dead] = True
        for id_ in dict.fromkeys(ids):
            row = self._rows.get(id_)
            # A later view may have been asked for before, and this one may be of an earlier version.
            while row is not None and (row >= len(gone) or gone[row]):
                row = self._before.get(row)
            if row is None:
                missing.append(id_)
            else:
                rows.extend(view.beside(row))
        return replace(view, count=len(rows), chosen=np.array(sorted(rows), np.int64), named=True), missing

    def latest(self, view: View, id_: str) -> int | None:
        """The last row of a video's newest record; None where there never was one."""
        self._follow(view)
        return self._rows.get(id_)

    def _follow(self, view: View) -> None:
        if self._ids is not view.ids:
            self._ids, self._rows, self._before, self._seen = view.ids, {}, {}, 0
        for row in range(self._seen, len(view.timestamps)):
            old = self._rows.get(view.ids[row])
            if old is not None and view.segments is not None and view.segments[row]:
                # Another segment of one film, which replaced what the one before it did.
                old = self._before.pop(old, None)
            if old is not None:
                self._before[row] = old
            self._rows[view.ids[row]] = row
        self._seen = max(self._seen, len(view.timestamps))
