"""What the blocking client asks of a gallery's videos, beside searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .blocking import finished
from .gallery_calls import PAGE
from .results import Edited, LookupResult, VideoFacts, VideoPage

if TYPE_CHECKING:
    from .calls import Calls


class GalleryClient:
    """A part of ``Client``."""

    _calls: Calls

    def lookup(self, ids: Sequence[str], *, timeout_s: float | None = None) -> LookupResult:
        """Which ids the gallery has, and its size; no ids ask for the size alone.

        Raises:
            InvalidRequest: an id that breaks the gallery's rules.
        """
        return finished(self._calls.lookup(ids, timeout_s=timeout_s))

    def count(self, where: str | None = None, *, timeout_s: float | None = None) -> int:
        """The number of videos in the gallery, or, as searches see it, of those that a filter lets through."""
        return finished(self._calls.count(where, timeout_s=timeout_s))

    def describe(self, ids: Sequence[str], *, timeout_s: float | None = None) -> list[VideoFacts | None]:
        """What the gallery knows of videos, in the order of their ids; None of one that it has not.

        Changes show at once, before searches see them.

        Raises:
            InvalidRequest: an id that breaks the gallery's rules.
        """
        return finished(self._calls.describe(ids, timeout_s=timeout_s))

    def list_videos(
        self,
        top: int = 100,
        *,
        where: str | None = None,
        after: str | None = None,
        timeout_s: float | None = None,
    ) -> VideoPage:
        """A page of up to ``top`` videos in the order in which they were indexed, fewer where their metadata is large.

        Pages are of the version of the gallery that the first one showed: no video is left out or comes twice while
        others come, are replaced or go; what was removed meanwhile is left out.

        Args:
            where: a filter of the videos, see docs/filters.md.
            after: the ``next`` of the page before.

        Raises:
            InvalidRequest: ``top`` outside 1..1000, a filter that can't be read or doesn't fit the gallery, or a cursor
                that is none or has expired: then begin again.
        """
        return finished(self._calls.list_videos(top, where=where, after=after, timeout_s=timeout_s))

    def videos(self, where: str | None = None, *, timeout_s: float | None = None) -> Iterator[VideoFacts]:
        """All videos, or those that a filter lets through, in the order in which they were indexed, page by page.

        >>> for video in client.videos():
        ...     print(video.id, video.duration, video.metadata)

        Raises:
            InvalidRequest: the gallery has changed too much meanwhile: begin again.
        """
        after, more = None, True
        while more:
            page = self.list_videos(PAGE, where=where, after=after, timeout_s=timeout_s)
            yield from page.videos
            after, more = page.next, page.next is not None

    def delete(self, ids: Sequence[str], *, timeout_s: float | None = None) -> Edited:
        """Remove videos from the gallery, for good; searches leave them out within a second.

        Raises:
            InvalidRequest: an id that breaks the gallery's rules.
            GalleryError: it could not be written.
        """
        return finished(self._calls.delete(ids, timeout_s=timeout_s))

    def update(
        self, changes: Mapping[str, Mapping[str, Any]], *, merge: bool = False, timeout_s: float | None = None
    ) -> Edited:
        """Give videos other metadata, by id; searches show it within a second.

        >>> client.update({"films/a.mp4": {"year": 1999}}, merge=True)

        Args:
            merge: lay it over what there is, name by name; a name whose value is None is left out.

        Raises:
            InvalidRequest: an id or metadata that breaks the gallery's rules.
            GalleryError: it could not be written.
        """
        return finished(self._calls.update(changes, merge=merge, timeout_s=timeout_s))
