"""The calls of both clients that are about a gallery's videos and not about their content."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.segments import Cutting
from . import gallery_wire, wire
from .results import Edited, LookupResult, VideoFacts, VideoPage

# Videos of a page, where the caller does not see pages.
PAGE = 500


class GalleryCalls(ABC):
    """See ``calls.Calls``. ``GalleryClient`` says what they are, take and raise."""

    @abstractmethod
    async def _run_all(self, calls: Sequence[wire.Call[wire.Answer]], timeout_s: float | None) -> list[wire.Answer]: ...

    @abstractmethod
    async def _run(self, call: wire.Call[wire.Answer], timeout_s: float | None) -> wire.Answer: ...

    async def lookup(self, ids: Sequence[str], *, timeout_s: float | None = None) -> LookupResult:
        """As ``Client.lookup``."""
        return gallery_wire.joined_lookup(await self._run_all(gallery_wire.lookup_calls(ids), timeout_s))

    async def count(self, where: str | None = None, *, timeout_s: float | None = None) -> int:
        """As ``Client.count``."""
        if where is not None:
            return (await self.list_videos(1, where=where, timeout_s=timeout_s)).count
        return (await self.lookup([], timeout_s=timeout_s)).count

    async def describe(self, ids: Sequence[str], *, timeout_s: float | None = None) -> list[VideoFacts | None]:
        """As ``Client.describe``."""
        found = await self._run_all(gallery_wire.describe_calls(ids), timeout_s)
        return [facts for part in found for facts in part]

    async def _cuttings(self, ids: Sequence[str], timeout_s: float | None) -> dict[str, Cutting]:
        """How those videos are cut that are, by id."""
        there = (await self.lookup(ids, timeout_s=timeout_s)).digests if ids else {}
        found = await self.describe([*there], timeout_s=timeout_s)
        return {each.id: each.cutting for each in found if each is not None and each.cutting is not None}

    async def list_videos(
        self,
        top: int = 100,
        *,
        where: str | None = None,
        after: str | None = None,
        timeout_s: float | None = None,
    ) -> VideoPage:
        """As ``Client.list_videos``."""
        return await self._run(gallery_wire.list_call(top, where, after), timeout_s)

    async def videos(self, where: str | None = None, *, timeout_s: float | None = None) -> AsyncIterator[VideoFacts]:
        """As ``Client.videos``, to be iterated over with ``async for``."""
        after = None
        while True:
            page = await self.list_videos(PAGE, where=where, after=after, timeout_s=timeout_s)
            for video in page.videos:
                yield video
            if (after := page.next) is None:
                return

    async def delete(self, ids: Sequence[str], *, timeout_s: float | None = None) -> Edited:
        """As ``Client.delete``."""
        return await self._edited(gallery_wire.delete_calls(ids), timeout_s)

    async def update(
        self, changes: Mapping[str, Mapping[str, Any]], *, merge: bool = False, timeout_s: float | None = None
    ) -> Edited:
        """As ``Client.update``."""
        if not isinstance(merge, bool):
            raise InvalidRequest(f"merge is {type(merge).__name__}: give True or False")
        return await self._edited(gallery_wire.update_calls(changes, merge), timeout_s)

    async def _edited(self, calls: Sequence[wire.Call[Edited]], timeout_s: float | None) -> Edited:
        # One after another: what failed was not done, and nothing after it.
        found = [await self._run(call, timeout_s) for call in calls]
        if found:
            return gallery_wire.joined_edits(found)
        now = await self.lookup([], timeout_s=timeout_s)
        return Edited((), (), now.version, now.count)
