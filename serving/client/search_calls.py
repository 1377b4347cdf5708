"""The searches of both clients."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...export.bundle.checks import check_top
from ...export.bundle.errors import DeadlineExceeded, InvalidRequest
from ...export.bundle.models import SEARCH, SEARCH_LIKE, SEARCH_LIKE_TEXT, SEARCH_VIDEO, SEARCH_VIDEO_TEXT
from . import wire
from .connection import DEFAULT_TIMEOUT_S, check_seconds
from .results import Indexed, SearchResult
from .search_options import like_options, search_options
from .signature import Signature
from .uploads import Brought, Features, Like, Video

if TYPE_CHECKING:
    from .transport import Transport

POLL_S = 0.1
# Ids of the videos to search among; None for all.
Ids = Sequence[str] | None


class SearchCalls(ABC):
    """See ``calls.Calls``. ``Client`` says what they are, take and raise."""

    _transport: Transport

    @abstractmethod
    async def _run_all(self, calls: Sequence[wire.Call[wire.Answer]], timeout_s: float | None) -> list[wire.Answer]: ...

    @abstractmethod
    async def _config(self, model: str, timeout_s: float | None) -> Any: ...

    @abstractmethod
    async def _run(self, call: wire.Call[wire.Answer], timeout_s: float | None) -> wire.Answer: ...

    @abstractmethod
    async def _bring(
        self, video: Video | None, features: Features | None, model: str, timeout_s: float | None
    ) -> Brought: ...

    @abstractmethod
    async def _signature(self, model: str, timeout_s: float | None) -> Signature: ...

    async def wait_searchable(self, indexed: Indexed, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """As ``Client.wait_searchable``."""
        if not isinstance(indexed, Indexed):
            raise InvalidRequest(f"what to wait for is {type(indexed).__name__}: give what `index` returned")
        seconds = check_seconds(timeout_s)
        deadline = time.monotonic() + seconds
        while not await self._sees(indexed):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{indexed.id} was not searchable within {seconds:g} s")
            await self._transport.sleep(POLL_S)

    async def _sees(self, indexed: Indexed) -> bool:
        # The gallery may hold more than a scorer of whole pairs goes through: then the video alone is searched.
        for among in (None, [indexed.id]):
            with suppress(InvalidRequest):
                return (await self.search("any", 1, candidates=among, facts=False)).version >= indexed.version
        return False

    async def search(
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
        """As ``Client.search``."""
        chosen = like_options(text, like, weight, include, segment)
        rows, top = [] if text is None else wire.encode_texts([text]), check_top(top)
        options = search_options(
            facts=facts,
            segments=segments,
            where=where,
            min_score=min_score,
            offset=offset,
            after=after,
            partial=partial,
        )
        if like is not None:
            words = rows[0] if rows else None
            return await self._search_like(like, words, top, candidates, {**options, **chosen}, timeout_s)
        (call,) = wire.search_calls(rows, top, 1, candidates, options)
        ((result,),) = await self._run_all([call], timeout_s)
        return result

    async def search_many(
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
        """As ``Client.search_many``."""
        rows, top = wire.encode_texts(texts), check_top(top)
        options = search_options(
            facts=facts,
            segments=segments,
            where=where,
            min_score=min_score,
            offset=offset,
            after=None,
            partial=partial,
        )
        most = wire.texts_per_search(await self._config(SEARCH, timeout_s))
        parts = await self._run_all(wire.search_calls(rows, top, most, candidates, options), timeout_s)
        return [result for part in parts for result in part]

    async def search_pages(
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
    ) -> AsyncIterator[SearchResult]:
        """As ``Client.search_pages``, to be iterated over with ``async for``."""
        after = None
        while True:
            page = await self.search(
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
            if (after := page.next) is None:
                return

    async def _search_like(
        self, like: Like, text: bytes | None, top: int, among: Ids, options: Mapping[str, Any], timeout_s: float | None
    ) -> SearchResult:
        # Most clients search by texts alone.
        from .like_calls import like_call
        from .likes import read_id, sent, shown

        if (id_ := read_id(like)) is not None:
            model = SEARCH_LIKE if text is None else SEARCH_LIKE_TEXT
            return await self._run(like_call(model, text, top, among, {**options, "like": id_}, id_), timeout_s)
        model = SEARCH_VIDEO if text is None else SEARCH_VIDEO_TEXT
        async with self._transport.turn():
            video, features = await self._transport.read(lambda: sent(like))
            brought = await self._bring(video, features, model, timeout_s)
            takes = await self._signature(model, timeout_s)
            call = like_call(model, text, top, among, options, shown(like, brought), brought, takes)
            return await self._run(call, timeout_s)
