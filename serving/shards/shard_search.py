"""The search of one shard: one server's own, with what the merge of all shards' answers needs beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidRequest
from ...export.bundle.limits import MAX_FACT_BYTES, MAX_PAGED
from ...export.bundle.packing import pack_rows
from ..backends.base import Arrays
from ..backends.gallery_search import GallerySearch
from ..backends.hits import answer, level
from ..backends.searches import Asked
from ..search.facts import Facts, Piece
from ..search.filters.grammar import Filter, Test
from ..search.filters.matching import ORDER, OWN, Matcher
from ..search.onnx_scorer import Tensors
from ..search.options import Options
from ..search.past import Cursor
from ..search.ranking import Ranked
from ..search.shortlist import ShortlistRanker
from ..search.view import View

# Numbers int64 [B, n, 2] of the hits' rows, by which equal scores are ordered, and of the first rows of their videos;
# -1 where there is no hit.
NUMBERS = "numbers"
# Where there are options: facts of the hits as JSON, uint8 [B, W] joined, with their bytes int32 [B, n], or less than 0
# the characters of those that an answer has no room for; of how many videos these are the best, int64 [B, 1]; and
# whether there are further hits, bool [B, 1].
FACTS, FACT_LENGTHS, AMONG, MORE = "facts", "fact_lengths", "among", "more"
# JSON: what is wrong with the request's filter if all shards say so.
FAULTS = "faults"
# Numbers int64 [B, n] of the rows that are the short list of each text; -1 where there are no more.
CHOSEN = "chosen"


class PartMatcher(Matcher):
    """Matches what is only a part of a gallery: another part may have a field that this one lacks.

    Attributes:
        faults: of the last filter, by their places in it; None where there was nothing to compare it with.
    """

    faults: dict[int, str] | None = None

    def rows(self, filter_: Filter, pieces: tuple[Piece, ...], view: View) -> np.ndarray[Any, Any]:
        """As ``Matcher.rows``."""
        self.faults = {} if pieces else None
        return super().rows(filter_, pieces, view)

    def _check(self, test: Test) -> None:
        try:
            super()._check(test)
        except InvalidRequest as error:
            ordered = test.sign in ORDER and any(isinstance(value, bool) for value in test.values)
            if test.field in OWN or ordered or self.faults is None:
                raise
            self.faults[test.at] = str(error)


class Nearest:
    """Ranks by the first stage of a scorer that has two, whose short list is of all shards' videos."""

    short: ClassVar[bool] = False

    def __init__(self, ranker: ShortlistRanker) -> None:
        self._ranker = ranker

    def reach(self, top: int) -> int:
        """As ``Ranker.reach``."""
        return MAX_PAGED

    def spread(self, top: int) -> int:
        """As ``Ranker.spread``."""
        return top

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``Ranker.rank``."""
        return [Ranked(rows, scores, None) for scores, rows in self._ranker.nearest(view, text, tops)]


class ShardSearch(GallerySearch):
    """As ``GallerySearch``, of one shard; answers have ``NUMBERS``, and ``FAULTS`` where there was a filter.

    Of a scorer with two stages ``choose`` answers the first, and requests of the second bring ``CHOSEN``.
    """

    most, numbered, matcher = MAX_PAGED, True, PartMatcher

    def setup(self, config: dict[str, Any], folder: Any) -> None:
        """As ``GallerySearch.setup``."""
        super().setup(config, folder)
        self._faults: dict[str, str] = {}

    def choose(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """As ``run``, by the first stage."""
        ranker = self.ranker
        assert isinstance(ranker, ShortlistRanker)
        self.ranker = Nearest(ranker)
        try:
            return self.run(inputs)
        finally:
            self.ranker = ranker

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """As ``GallerySearch.run``."""
        self._faults.clear()
        return super().run(inputs)

    def written(self, view: View, ranked: Sequence[Ranked], asked: Asked) -> Arrays:
        """As ``GallerySearch.written``."""
        rows = [each.rows for each in ranked]
        numbers = level([np.stack([view.numbers[own], view.films(own)], axis=-1) for own in rows], -1)
        return {**answer(view, ranked), NUMBERS: numbers, **self._told(asked.where)}

    def beside(self, view: View, hits: Sequence[Ranked], after: Sequence[Cursor | None], facts: Facts | None) -> Arrays:
        """As ``GallerySearch.beside``, in arrays, which are merged without being read."""
        texts = [[] if facts is None else _sized(facts, view.numbers[each.rows].tolist()) for each in hits]
        count = len(hits)
        return {
            FACTS: pack_rows([b"".join(text for text, _ in each) for each in texts]),
            FACT_LENGTHS: level([np.array([size for _, size in each], np.int32) for each in texts]),
            AMONG: np.full((count, 1), view.videos, np.int64),
            MORE: np.array([[each is not None] for each in after], np.bool_),
        }

    def _part(self, view: View, asked: Asked, named: Sequence[str]) -> Any:
        part = super()._part(view, asked, named)
        self._note(asked.where)
        return part

    def _listed(self, view: View, options: Options) -> Arrays:
        told = super()._listed(view, options)
        self._note(options.where)
        return {**told, **self._told(options.where)}

    def _ranked(self, part: Any, asked: Sequence[Asked]) -> list[Arrays]:
        if isinstance(self.ranker, ShortlistRanker) and all(CHOSEN in each.request for each in asked):
            self.ranker.given = [row for each in asked for row in each.request[CHOSEN]]
            try:
                return super()._ranked(part, asked)
            finally:
                self.ranker.given = None
        return super()._ranked(part, asked)

    def _note(self, where: str) -> None:
        if where:
            matcher = self.selector.matcher
            assert isinstance(matcher, PartMatcher)
            self._faults[where] = json.dumps(matcher.faults)

    def _told(self, where: str) -> Mapping[str, np.ndarray[Any, Any]]:
        return {FAULTS: np.frombuffer(self._faults[where].encode(), np.uint8)} if where else {}


def _sized(facts: Facts, numbers: Sequence[int]) -> list[tuple[bytes, int]]:
    """The facts of rows as JSON, each with what ``FACT_LENGTHS`` tells of it."""
    found, left = list[tuple[bytes, int]](), MAX_FACT_BYTES
    for fact in facts.of(numbers):
        text = "null" if fact is None else fact.hit()
        left -= len(text)
        raw = text.encode() if left >= 0 else b""
        found.append((raw, len(raw) or -len(text)))
    return found
