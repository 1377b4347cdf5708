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

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED
from .options import Options
from .past import MARK_BYTES, Cursor
from .ranking import Ranked, Ranker
from .view import View


@dataclass(frozen=True)
class Page:
    """What one search wants to see of its ranking.

    Attributes:
        top: hits of the page.
        first: places of the ranking that the first page took.
        cursor: where the page before ended.
        without: the id of the video that is searched with, which is no hit; empty for none.
    """

    top: int
    first: int
    offset: int
    min_score: float
    mark: bytes
    cursor: Cursor | None
    without: str = ""

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
        return Page(top, first, options.offset, options.min_score, mark, cursor, without)

    def ranks(self, ranker: Ranker) -> int:
        """How many places of the ranking it takes; a later page one more, which tells whether there is another.

        One more, too, where a video may be among them that is none of the hits.
        """
        if self.cursor is None:
            return self.first + bool(self.without)
        return min(len(self.cursor.shown) + self.top + 1, ranker.reach(self.first)) + bool(self.without)

    def cut(self, view: View, ranked: Ranked, ranker: Ranker) -> tuple[Ranked, str | None]:
        """The hits of the page, and the cursor of the next; None where there is none.

        Args:
            ranked: the first ``ranks`` places of the ranking of ``view``.
        """
        further = len(ranked.rows) < view.videos
        if self.without:
            ranked = ranked.take([place for place, row in enumerate(ranked.rows) if view.ids[row] != self.without])
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
        return page, Cursor(view.version, self.mark, self.first, shown).text()


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
    asked = options.where, list(named), options.min_score, options.like, options.weight, options.include
    return mark_of(*asked, options.segments, model)


def mark_of(*asked: object) -> bytes:
    """A few bytes that stand for what is asked."""
    return hashlib.sha256(json.dumps(asked).encode()).digest()[:MARK_BYTES]
