"""The blocking client's searches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .blocking import finished
from .results import SearchResult
from .search_calls import Ids
from .uploads import Like

if TYPE_CHECKING:
    from .calls import Calls


class SearchClient:
    """A part of ``Client``."""

    _calls: Calls

    def search(
        self,
        text: str | None = None,
        top: int = 10,
        *,
        like: Like | None = None,
        segment: int | None = None,
        weight: float | None = None,
        include: bool = False,
        candidates: Ids = None,
        where: str | None = None,
        min_score: float | None = None,
        offset: int = 0,
        after: str | None = None,
        facts: bool = True,
        segments: bool = False,
        partial: bool = False,
        timeout_s: float | None = None,
    ) -> SearchResult:
        """The ``top`` best videos for a text, fewer when there are fewer; or for a video or picture, or for both.

        >>> client.search("a dog catches a frisbee", where="duration < 30 and tags has 'sport'", min_score=0.2)
        >>> client.search(like="dogs/frisbee.mp4")
        >>> client.search(like=hit.id, segment=hit.segment)
        >>> client.search("in the snow", like=Path("beach.jpg"), weight=0.3)

        Args:
            like: search with a video of the gallery by its id, a text; or with what is sent and kept nowhere: the path
                (``pathlib.Path``) or bytes of a film, a still image or a feature file, or a picture, RGB uint8
                [H, W, 3] or an image of Pillow's. See docs/likes.md for what that means to each model.
            segment: which segment of the film of that id to search with, from 0, as a hit tells it; needed where it is
                kept in several.
            weight: the share of ``like`` beside a text, from 0 to 1; half of it where it isn't given.
            include: the video of that id may be a hit itself; with ``segments`` that segment, whose film's others are.
            candidates: 1 to 4096 ids of the videos to search among; None for all.
            where: a filter of what is known of the videos, see docs/filters.md.
            min_score: leave out hits of a lower score.
            offset: leave out so many of the best hits.
            after: the ``next`` of the page before, of the same search.
            facts: give every hit its source, duration, metadata, and its segment.
            segments: each segment of a film is a hit of its own; else a film is one, by its best segment.
            partial: of a gallery in shards, take what some find where others don't answer: ``missing`` names those.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: ``top`` outside 1..1000, a candidate or a video to search with that isn't there, a model
                that can't be searched by a video, more videos than may be scored, a filter that can't be read or
                doesn't fit the gallery, or a cursor that is none or has expired.
            InvalidVideo, InvalidFeatures: what is sent can't be read or decoded.
        """
        return finished(
            self._calls.search(
                text,
                top,
                like=like,
                segment=segment,
                weight=weight,
                include=include,
                candidates=candidates,
                where=where,
                min_score=min_score,
                offset=offset,
                after=after,
                facts=facts,
                segments=segments,
                partial=partial,
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
        segments: bool = False,
        partial: bool = False,
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
                segments=segments,
                partial=partial,
                timeout_s=timeout_s,
            )
        )

    def search_pages(
        self,
        text: str | None = None,
        top: int = 10,
        *,
        like: Like | None = None,
        segment: int | None = None,
        weight: float | None = None,
        include: bool = False,
        candidates: Ids = None,
        where: str | None = None,
        min_score: float | None = None,
        facts: bool = True,
        segments: bool = False,
        partial: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[SearchResult]:
        """As ``search``, page by page of ``top`` hits, asked for as they are needed, up to 4096 hits in all.

        Pages are of the version of the gallery that the first one showed: no hit is left out or comes twice while
        videos come, are replaced or go; what was removed meanwhile is left out. What is sent to search with is sent for
        every page.
        """
        after, more = None, True
        while more:
            page = self.search(
                text,
                top,
                like=like,
                segment=segment,
                weight=weight,
                include=include,
                candidates=candidates,
                where=where,
                min_score=min_score,
                after=after,
                facts=facts,
                segments=segments,
                partial=partial,
                timeout_s=timeout_s,
            )
            yield page
            after, more = page.next, page.next is not None
