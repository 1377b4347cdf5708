"""The searches of both clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ...export.bundle.checks import check_top
from ...export.bundle.models import SEARCH
from . import wire
from .results import SearchResult
from .search_options import search_options

# Ids of the videos to search among; None for all.
Ids = Sequence[str] | None


class SearchCalls(ABC):
    """See ``calls.Calls``. ``Client`` says what they are, take and raise."""

    @abstractmethod
    async def _run_all(self, calls: Sequence[wire.Call[wire.Answer]], timeout_s: float | None) -> list[wire.Answer]: ...

    @abstractmethod
    async def _config(self, model: str, timeout_s: float | None) -> Any: ...

    async def search(
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
        """As ``Client.search``."""
        rows, top = wire.encode_texts([text]), check_top(top)
        options = search_options(facts=facts, where=where, min_score=min_score, offset=offset, after=after)
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
        timeout_s: float | None = None,
    ) -> list[SearchResult]:
        """As ``Client.search_many``."""
        rows, top = wire.encode_texts(texts), check_top(top)
        options = search_options(facts=facts, where=where, min_score=min_score, offset=offset, after=None)
        most = wire.texts_per_search(await self._config(SEARCH, timeout_s))
        parts = await self._run_all(wire.search_calls(rows, top, most, candidates, options), timeout_s)
        return [result for part in parts for result in part]

    async def search_pages(
        self,
        text: str,
        top: int = 10,
        *,
        candidates: Ids = None,
        where: str | None = None,
        min_score: float | None = None,
        facts: bool = True,
        timeout_s: float | None = None,
    ) -> AsyncIterator[SearchResult]:
        """As ``Client.search_pages``, to be iterated over with ``async for``."""
        after = None
        while True:
            page = await self.search(
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
            if (after := page.next) is None:
                return
