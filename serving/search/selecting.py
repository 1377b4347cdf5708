"""The part of the gallery that a request is for: of a version, named by ids, let through by a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .facts import Facts
from .filters.matching import Matcher
from .filters.parser import parse
from .lacking import Lacking
from .past import Cursor, at
from .snapshot import Snapshot
from .view import View


class Selector:
    """Narrows views; but for ``prepare`` not to be shared between threads."""

    def __init__(self, snapshot: Snapshot, facts: Facts, matcher: Matcher | None = None) -> None:
        self._snapshot, self._facts, self.matcher = snapshot, facts, matcher or Matcher()
        self._lacking = Lacking(facts)

    def prepare(self) -> None:
        """Get ready for filters; for a thread beside the one that narrows views."""
        self.matcher.prepare(self._facts.pieces)

    def part(self, view: View, named: Sequence[str], where: str, cursor: Cursor | None) -> View:
        """The part of a view for a request that names some videos, has a filter, or goes on from an earlier page.

        Raises:
            InvalidRequest: a video that is not there, a filter that doesn't fit the gallery, or an expired version.
            GalleryError, ServerUnavailable: what filters need can't be read, or not yet.
        """
        if where:
            # Up to the last row of all, though a cursor's version may be an earlier one.
            self._facts.follow(view.version)
        if cursor is not None:
            view = at(view, cursor.version, self._snapshot.named)
        if named and cursor is None:
            view = self._snapshot.only(view, named)
        elif named:
            # What was named before may have gone since.
            view, _ = self._snapshot.among(view, named)
        if where:
            pieces = self._facts.pieces
            if (beside := self._lacking.piece(view, pieces)) is None:
                rows = self.matcher.rows(parse(where), pieces, view)
            else:
                rows = np.sort(self.matcher.rows(parse(where), (*pieces, beside), view))
            view = replace(view, count=len(rows), chosen=rows)
        return view
