"""Pages of a ranking, and of a list, over all shards; see ``search.paging`` for those of one server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...export.bundle.limits import MAX_FACT_BYTES, MAX_PAGED
from ..search.listing import joined
from ..search.options import Options
from ..search.paging import check_reach, mark_of, page_mark
from ..search.past import Cursor
from ..search.view import Numbers
from .cursor import ABSENT, ShardCursor
from .merging import Hits

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class ShardPage:
    """What one search wants to see of its ranking.

    Attributes:
        options: of the request.
        named: ids that it names.
        top: hits of the page.
        shards: how many there are.
        model: whose gallery it is.
        shortlist: of a model that scores a short list, its videos for each text.

    Raises:
        InvalidRequest: from ``cursor``, one that is none, or of another search.
    """

    options: Options
    named: Sequence[str]
    top: int
    shards: int
    model: str
    shortlist: int | None = None

    @staticmethod
    def of(
        options: Options, named: Sequence[str], top: int, shards: int, model: str, shortlist: int | None
    ) -> ShardPage:
        """The page that a request asks for.

        Raises:
            InvalidRequest: a cursor that is none, or of another search; or a page beyond what pages reach.
        """
        page = ShardPage(options, named, top, shards, model, shortlist)
        # A cursor that can't be read is refused by reading it.
        first = page.first
        if not options.list:
            check_reach(first)
        return page

    @cached_property
    def mark(self) -> bytes:
        """Of what is asked; most searches have one page and need none."""
        return mark_of("shards", self.options.list, page_mark(self.options, self.named, self.model).hex())

    @cached_property
    def cursor(self) -> ShardCursor | None:
        """Where the page before ended."""
        after = self.options.after
        return ShardCursor.read(after, self.mark, self.shards) if after else None

    @property
    def places(self) -> int:
        """Hits of the page and those that its offset leaves out; a shard that has more says so."""
        return self.top + self.options.offset if self.cursor is None else self.top

    @property
    def first(self) -> int:
        """Places of the ranking that the first page took."""
        return self.places if self.cursor is None else self.cursor.top

    @property
    def most(self) -> int | None:
        """As ``search.ranking.Ranker.reach``, of a short list, which is the same for every page; None without one."""
        return None if self.shortlist is None else max(self.first, self.shortlist)

    @property
    def ranked(self) -> int:
        """As ``search.paging.Page.ranks``: of a short list, places of the whole ranking; else those of this page."""
        if self.cursor is None or self.most is None:
            return self.places
        return min(sum(map(len, self.cursor.shown)) + self.top + 1, self.most)

    def lacks(self, shard: int) -> bool:
        """Whether the first page was without a shard."""
        return self.cursor is not None and self.cursor.versions[shard] == ABSENT

    def asked_of(self, shard: int, named: Sequence[str]) -> bytes:
        """The options that a shard gets, as JSON.

        Args:
            named: those of the ids that it keeps.
        """
        asked = self.options
        top = self.top if asked.list else Options.top
        wanted = Options(
            facts=asked.facts,
            list=asked.list,
            top=top,
            where=asked.where,
            like=asked.like,
            segment=asked.segment,
            weight=asked.weight,
            include=asked.include,
            segments=asked.segments,
        )
        # The places of a short list count those that were shown.
        return self._going_on(wanted, shard, named, _NONE if self.shortlist is not None else self._before(shard))

    def chosen_of(self, shard: int) -> bytes:
        """As ``asked_of``, of the short list, which is one of segments: the same for every page."""
        return self._going_on(Options(where=self.options.where, segments=True), shard, (), _NONE)

    def _going_on(self, options: Options, shard: int, named: Sequence[str], shown: Numbers) -> bytes:
        """Options as JSON, with the cursor that a shard takes where this is no first page."""
        if self.cursor is not None:
            mark = page_mark(options, named, self.model)
            if options.list:
                mark = mark_of("list", options.where, self.model)
            after = Cursor(self.cursor.versions[shard], mark, self.cursor.top, shown).text()
            options = replace(options, after=after)
        return options.json()

    def cut(
        self, hits: Hits, versions: Mapping[int, int], version: int, *, more: bool, among: int
    ) -> tuple[Hits, str | None]:
        """The hits of the page, and the cursor of the next; None where there is none.

        Args:
            hits: of all shards that answered.
            versions: theirs.
            version: that the answer tells.
            more: whether a shard has more of them.
            among: of how many videos they are the best.
        """
        before = [self._before(shard) for shard in range(self.shards)]
        if self.most is None:
            ranked = hits.take(slice(self.places))
            more = more or len(hits) > len(ranked)
            looked = ranked.scores if self.cursor is None else hits.scores[: self.places + 1]
        elif self.cursor is None:
            ranked = hits.take(slice(self.places))
            # A short list may hold fewer films than are asked for: then there are no more.
            more, looked = len(ranked) == self.places and len(ranked) < min(self.most, among), ranked.scores
        else:
            whole = hits.take(slice(self.ranked))
            left = np.flatnonzero(~np.isin(whole.films, np.concatenate(before)))
            ranked = whole.take(left[: self.top])
            more, looked = len(left) > self.top, whole.scores
        page = ranked.take(slice(self.options.offset, None))
        page = page.take(page.scores >= self.options.min_score)
        if not more or not (looked >= self.options.min_score).all():
            return page, None
        shown = [np.union1d(own, ranked.films[ranked.shards == shard]) for shard, own in enumerate(before)]
        if sum(map(len, shown)) >= MAX_PAGED:
            return page, None
        return page, self._next(versions, version, self.places, shown)

    def listed(self, told: Mapping[int, Mapping[str, Any]], version: int) -> str:
        """JSON of a page of the list of videos, from those of all shards: see ``search.listing.page``."""
        rows = sorted(
            (number, shard, place) for shard, page in told.items() for place, number in enumerate(page["numbers"])
        )
        parts: list[str] = []
        size, last = 0, [self._before(shard) for shard in range(self.shards)]
        for number, shard, place in rows[: self.top]:
            text = json.dumps(told[shard]["videos"][place], ensure_ascii=False, separators=(",", ":"))
            size += len(text)
            if parts and size > MAX_FACT_BYTES:
                break
            parts.append(text)
            last[shard] = np.array([number], np.int64)
        ended = len(parts) == len(rows) and all(page["next"] is None for page in told.values())
        versions = {shard: page["version"] for shard, page in told.items()}
        after = None if ended else self._next(versions, version, self.top, last)
        count = sum(page["count"] for page in told.values())
        return joined(parts, "videos", next=after, count=count, version=version)

    def _before(self, shard: int) -> Numbers:
        return _NONE if self.cursor is None else self.cursor.shown[shard]

    def _next(self, versions: Mapping[int, int], version: int, top: int, shown: Sequence[Numbers]) -> str:
        if self.cursor is not None:
            version, top, each = self.cursor.version, self.cursor.top, self.cursor.versions
        else:
            each = [versions.get(shard, ABSENT) for shard in range(self.shards)]
        return ShardCursor(version, self.mark, top, each, shown).text()
