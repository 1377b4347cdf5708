"""Scans of a gallery by a compiled library: all threads of a call, rows in any order, and the best of them.

Letters in shapes: Q queries, V videos of a gallery, R of them that are scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from .library import Library
from .walk import Floats, Live, Rows, Walk, WalkJob, ascending, check_search, in_threads, merge, places, threads_for

# Where no more than every so-manieth video is live, they are read as a list.
_FEW = 8
NO_MEMORY = "no memory for scoring: score fewer queries at once"


class Scan(ABC):
    """One call's operands and everything that they point to.

    Args:
        queries: Q, at least 1.
        videos: V, at least 1.
    """

    def __init__(self, queries: int, videos: int) -> None:
        self.queries, self.videos = queries, videos

    @abstractmethod
    def run(self, found: Library, walk: WalkJob) -> int:
        """Score the blocks of a walk that this thread gets; not zero where there is no memory for it.

        Several threads may do so at once.
        """

    def score(self, found: Library, *, rows: Rows | None = None, threads: int | None = None) -> Floats:
        """Scores float32 [Q, V], or [Q, R] of ``rows``, to the bit those that they have among all.

        Args:
            rows: int64 [R], in any order.
            threads: how many work at once; by default as many as there are cores and work for.

        Raises:
            ValueError: rows that the gallery doesn't have.
            MemoryError: no room for the working memory.
        """
        chosen, back = (None, None) if rows is None else ascending(rows, self.videos)
        out = np.empty((self.queries, self.videos if chosen is None else len(chosen)), np.float32)
        if out.size:
            threads = threads_for(out.size, threads)
            walk = Walk(self.videos, threads, chosen)
            in_threads(lambda: self._run(found, walk.into(out)), threads)
        return out if back is None else out[:, back]

    def search(
        self,
        found: Library,
        n: int,
        *,
        rows: Rows | None = None,
        live: Live | None = None,
        threads: int | None = None,
    ) -> tuple[Floats, Rows]:
        """The ``n`` best videos of each query, best first; among equal scores the lower row first.

        Args:
            n: at least 1; where fewer videos are live, that many are returned.
            rows: int64 [R]: the only videos that are found, each once.
            live: bool [V]; a false keeps a video out.
            threads: as for ``score``.

        Returns:
            Scores float32 and rows int64, [Q, min(n, live videos)].

        Raises:
            ValueError, MemoryError: as ``score``, or ``n`` is below 1, or ``live`` is not bool [V].
        """
        check_search(n, live, self.videos)
        chosen = None if rows is None else ascending(rows, self.videos)[0]
        if chosen is not None and live is not None:
            chosen, live = chosen[live[chosen]], None
        scored = self.videos if chosen is None else len(chosen)
        count = scored if live is None else int(live.sum())
        n = min(n, count)
        if n == 0:
            return places(self.queries, 0)
        if live is not None and count * _FEW < self.videos:
            chosen, live, scored = np.flatnonzero(live), None, count
        threads = threads_for(self.queries * scored, threads)
        walk = Walk(self.videos, threads, chosen, live)
        return merge(in_threads(lambda: self._best(found, walk, n), threads), n)

    def _best(self, found: Library, walk: Walk, n: int) -> tuple[Floats, Rows]:
        scores, rows = places(self.queries, n)
        self._run(found, walk.best(scores, rows))
        return scores, rows

    def _run(self, found: Library, walk: WalkJob) -> None:
        if self.run(found, walk):
            raise MemoryError(NO_MEMORY)
