"""Pages of a ranking: which hits a request shows of those that are ranked for it, and where the next begins.

A page is of the version of the gallery that the first page showed, and holds none of the hits of earlier pages, by the
numbers of their videos' first rows: how a text's vector was rounded in another batch moves no hit from one page to two,
or to none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED
from .options import Options
from .past import MARK_BYTES, Cursor
from .ranking import Ranked, Reach
from .view import View


@dataclass(frozen=True)
class Page:
    """What one search wants to see of its ranking.

    Attributes:
        top: hits of the page.
        first: places of the ranking that the first page took.
        cursor: where the page before ended.
        without: the id of the video that is searched with, which is no hit; empty for none.
        segment: which of its segments alone is none, where each is a hit of its own; None for all of it.
    """

    top: int
    first: int
    offset: int
    min_score: float
    mark: bytes
    cursor: Cursor | None
    without: str = ""
    segment: int | None = None

    @staticmethod
    def of(options: Options, named: Sequence[str], top: int, model: str = "") -> Page:
        """The page that a request asks for, among the videos that it names, if any.

        Args:
            model: whose gallery it is: another's cursor is of another search, whatever versions their galleries have.

        Raises:
            InvalidRequest: a cursor that is none, or of another search; or a page beyond what pages reach.
        """
        mark = page_mark(options, named, model)
        cursor = Cursor.read(options.after, mark) if options.after else None
        first = check_reach(top + options.offset if cursor is None else cursor.top)
        without = "" if options.include else options.like
        segment = options.segment if options.segments else None
        return Page(top, first, options.offset, options.min_score, mark, cursor, without, segment)

    def ranks(self, ranker: Reach) -> int:
        """How many places of the ranking it takes; a later page one more, which tells whether there is another.

        One more, too, where a video may be among them that is none of the hits.
        """
        if self.cursor is None:
            return self.first + bool(self.without)
        return min(len(self.cursor.shown) + self.top + 1, ranker.reach(self.first)) + bool(self.without)

    def cut(
        self, view: View, ranked: Ranked, ranker: Reach, segments: npt.NDArray[np.int32] | None = None
    ) -> tuple[Ranked, Cursor | None]:
        """The hits of the page, and the cursor of the next; None where there is none.

        Args:
            ranked: the first ``ranks`` places of the ranking of ``view``.
            segments: which part of its film a row is, int32 [R], where each is a hit of its own.
        """
        further = len(ranked.rows) < view.videos
        # A short list of segments may hold fewer films than are asked for: then there are no more.
        if view.segments is not None and len(ranked.rows) < self.ranks(ranker):
            further = False
        if self.without:
            own = [view.ids[row] == self.without and self._is(segments, row) for row in ranked.rows.tolist()]
            ranked = ranked.take(np.flatnonzero(~np.array(own, np.bool_)))
        if self.cursor is None and len(ranked.rows) > self.first:
            further, ranked = True, ranked.take(range(self.first))
        numbers = view.films(ranked.rows)
        if self.cursor is None:
            left = np.arange(len(numbers)) >= self.offset
            shown = np.sort(numbers)
            more = further and len(numbers) < ranker.reach(self.first)
        else:
            left = ~np.isin(numbers, self.cursor.shown)
            beyond = np.flatnonzero(left)[self.top :]
            left[beyond] = False
            shown = np.union1d(self.cursor.shown, numbers[left])
            more = bool(len(beyond))
        good = ranked.scores >= self.min_score
        page = ranked.take(np.flatnonzero(left & good))
        if not more or not good.all() or len(shown) >= MAX_PAGED:
            return page, None
        return page, Cursor(view.version, self.mark, self.first, shown)

    def _is(self, segments: npt.NDArray[np.int32] | None, row: int) -> bool:
        """Whether a row of the film that is searched with is what is no hit of it."""
        return segments is None or self.segment is None or int(segments[row]) == self.segment


def check_reach(first: int) -> int:
    """The places of a ranking that a first page takes.

    Raises:
        InvalidRequest: more than pages reach.
    """
    if first > MAX_PAGED:
        raise InvalidRequest(f"pages reach {MAX_PAGED} hits, and this one ends at {first}: narrow the search")
    return first


def page_mark(options: Options, named: Sequence[str], model: str) -> bytes:
    """What all pages of a search have in common."""
    asked = options.where, list(named), options.min_score, options.like, options.segment, options.weight
    return mark_of(*asked, options.include, options.segments, model)


def mark_of(*asked: object) -> bytes:
    """A few bytes that stand for what is asked."""
    return hashlib.sha256(json.dumps(asked).encode()).digest()[:MARK_BYTES]
