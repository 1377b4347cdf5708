"""The blocking client's searches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .blocking import finished
from .results import SearchResult
from .search_calls import Ids

if TYPE_CHECKING:
    from .calls import Calls


class SearchClient:
    """A part of ``Client``."""

    _calls: Calls

    def search(
        self,
        text: str,
        top: int = 10,
        *,
        candidates: Ids = None,
        where: str | None = None,
        min_score: float | None = None,
        offset: int = 0,
        after: str | None = None,
        facts: bool = True,
        timeout_s: float | None = None,
    ) -> SearchResult:
        """The ``top`` best videos for a text, fewer when there are fewer.

        >>> client.search("a dog catches a frisbee", where="duration < 30 and tags has 'sport'", min_score=0.2)

        Args:
            candidates: 1 to 4096 ids of the videos to search among; None for all.
            where: a filter of what is known of the videos, see docs/filters.md.
            min_score: leave out hits of a lower score.
            offset: leave out so many of the best hits.
            after: the ``next`` of the page before, of the same search.
            facts: give every hit its source, duration and metadata.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: ``top`` outside 1..1000, a candidate that isn't there, more videos than may be scored, a
                filter that can't be read or doesn't fit the gallery, or a cursor that is none or has expired.
        """
        return finished(
            self._calls.search(
                text,
                top,
                candidates=candidates,
                where=where,
                min_score=min_score,
                offset=offset,
                after=after,
                facts=facts,
                timeout_s=timeout_s,
            )
        )

    def search_many(
        self,
        texts: Sequence[str],
        top: int = 10,
        *,
        candidates: Ids = None,
        where: str | None = None,
        min_score: float | None = None,
        offset: int = 0,
        facts: bool = True,
        timeout_s: float | None = None,
    ) -> list[SearchResult]:
        """As ``search``, for many texts at once; the timeout is of each request of up to 32 texts."""
        return finished(
            self._calls.search_many(
                texts,
                top,
                candidates=candidates,
                where=where,
                min_score=min_score,
                offset=offset,
                facts=facts,
                timeout_s=timeout_s,
            )
        )

    def search_pages(
        self,
        text: str,
        top: int = 10,
        *,
        candidates: Ids = None,
        where: str | None = None,
        min_score: float | None = None,
        facts: bool = True,
        timeout_s: float | None = None,
    ) -> Iterator[SearchResult]:
        """As ``search``, page by page of ``top`` hits, asked for as they are needed, up to 4096 hits in all.

        Pages are of the version of the gallery that the first one showed: no hit is left out or comes twice while
        videos come, are replaced or go; what was removed meanwhile is left out.
        """
        after, more = None, True
        while more:
            page = self.search(
                text,
                top,
                candidates=candidates,
                where=where,
                min_score=min_score,
                after=after,
                facts=facts,
                timeout_s=timeout_s,
            )
            yield page
            after, more = page.next, page.next is not None
