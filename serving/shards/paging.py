"""Pages of a ranking, and of a list, over all shards; see ``search.paging`` for those of one server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
        mark: of what is asked.
        cursor: where the page before ended.
        shards: how many there are.
    """

    options: Options
    named: Sequence[str]
    top: int
    mark: bytes
    cursor: ShardCursor | None
    shards: int
    model: str

    @staticmethod
    def of(options: Options, named: Sequence[str], top: int, shards: int, model: str) -> ShardPage:
        """The page that a request asks for.

        Args:
            model: whose gallery it is.

        Raises:
            InvalidRequest: a cursor that is none, or of another search; or a page beyond what pages reach.
        """
        mark = mark_of("shards", options.list, page_mark(options, named, model).hex())
        cursor = ShardCursor.read(options.after, mark, shards) if options.after else None
        if not options.list:
            check_reach(top + options.offset if cursor is None else cursor.top)
        return ShardPage(options, named, top, mark, cursor, shards, model)

    @property
    def places(self) -> int:
        """How many hits each shard is asked for; one that has more says so."""
        return self.top + self.options.offset if self.cursor is None else self.top

    @property
    def first(self) -> int:
        """Places of the ranking that the first page took."""
        return self.places if self.cursor is None else self.cursor.top

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
            weight=asked.weight,
            include=asked.include,
        )
        return self._going_on(wanted, shard, named, self._before(shard))

    def chosen_of(self, shard: int) -> bytes:
        """As ``asked_of``, of the short list: the same for every page."""
        return self._going_on(Options(where=self.options.where), shard, (), _NONE)

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
        self, hits: Hits, versions: Mapping[int, int], version: int, *, more: bool, reach: int | None = None
    ) -> tuple[Hits, str | None]:
        """The hits of the page, and the cursor of the next; None where there is none.

        Args:
            hits: of all shards that answered.
            versions: theirs.
            version: that the answer tells.
            more: whether a shard has more of them.
            reach: places that the ranking has, where that is known.
        """
        ranked = hits.take(slice(self.places))
        more = more or len(hits) > len(ranked)
        if reach is not None:
            before = sum(len(self._before(shard)) for shard in range(self.shards))
            more = len(ranked) == self.places and reach > before + len(ranked)
        looked = ranked.scores if self.cursor is None else hits.scores[: self.places + 1]
        page = ranked.take(slice(self.options.offset, None))
        page = page.take(page.scores >= self.options.min_score)
        shown = [
            np.union1d(self._before(shard), ranked.numbers[ranked.shards == shard]) for shard in range(self.shards)
        ]
        if not more or not (looked >= self.options.min_score).all() or sum(map(len, shown)) >= MAX_PAGED:
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
