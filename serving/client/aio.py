"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import DeadlineExceeded, ServerUnavailable
from ...export.bundle.models import ENCODE_FRAMES, ENCODE_VIDEO, SCORE_TEXT, SEARCH
from ...export.bundle.ports import SCORER
from . import wire
from .channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, channel_options
from .errors import refused, translate
from .patience import waits
from .results import Found, Indexed, Scores, SearchResult, VideoRecord
from .signature import Signature, signature
from .uploads import Video, read_video

_POLL_S = 0.1
# Parts of one call that are under way at once: more of them would only be in each other's way, and be refused.
_PARTS = 4


class AsyncClient:
    """A connection to a framesift server, to be made and used within one event loop.

    >>> async with AsyncClient("127.0.0.1:8001") as client:
    ...     result = await client.search("a dog catches a frisbee", top=3)

    Methods, options and exceptions are those of ``Client``; calls made at once are under way at once.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, timeout_s: float | None = DEFAULT_TIMEOUT_S, *, retry: bool = True
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._retry = retry
        self._server = InferenceServerClient(address, channel_args=channel_options(address))
        self._signatures: dict[str, Signature] = {}
        self._configs: dict[str, Any] = {}

    async def search(self, text: str, top: int = 10, *, timeout_s: float | None = None) -> SearchResult:
        """As ``Client.search``."""
        return (await self.search_many([text], top, timeout_s=timeout_s))[0]

    async def search_many(
        self, texts: Sequence[str], top: int = 10, *, timeout_s: float | None = None
    ) -> list[SearchResult]:
        """As ``Client.search_many``."""
        calls = wire.search_calls(texts, top, wire.texts_per_search(await self._config(SEARCH, timeout_s)))
        return [result for part in await self._run_all(calls, timeout_s) for result in part]

    async def index(
        self,
        video: Video,
        id: str | None = None,
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Indexed:
        """As ``Client.index``."""
        upload = await asyncio.to_thread(read_video, video)
        return await self._run(wire.index_call(upload, id, source, metadata), timeout_s)

    async def encode_video(self, video: Video, id: str | None = None, *, timeout_s: float | None = None) -> VideoRecord:
        """As ``Client.encode_video``."""
        upload = await asyncio.to_thread(read_video, video)
        takes = await self._signature(ENCODE_VIDEO, timeout_s)
        return await self._run(wire.encode_video_call(upload, id, takes), timeout_s)

    async def encode_frames(
        self,
        frames: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
        mask: npt.ArrayLike | None = None,
        ids: Sequence[str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> list[VideoRecord]:
        """As ``Client.encode_frames``."""
        calls = wire.encode_frames_calls(await self._signature(ENCODE_FRAMES, timeout_s), frames, mask, ids)
        return [record for part in await self._run_all(calls, timeout_s) for record in part]

    async def score(
        self, texts: Sequence[str], records: Sequence[VideoRecord], *, timeout_s: float | None = None
    ) -> Scores:
        """As ``Client.score``."""
        names = wire.record_inputs(await self._signature(SCORE_TEXT, timeout_s))
        most = wire.pairs_per_call(await self._config(SCORER, timeout_s))
        rows = wire.score_calls(texts, records, names, most)
        return wire.joined_scores(await asyncio.gather(*(self._run_all(row, timeout_s) for row in rows)))

    async def wait_searchable(self, indexed: Indexed, timeout_s: float = 10.0) -> None:
        """Wait until searches see a video that ``index`` acknowledged, which they do within a second.

        Raises:
            DeadlineExceeded: they did not within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while (await self.search("any", top=1)).version < indexed.version:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{indexed.id} was not searchable within {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)

    async def lookup(self, ids: Sequence[str], *, timeout_s: float | None = None) -> Found:
        """As ``Client.lookup``."""
        return wire.joined_found(await self._run_all(wire.lookup_calls(ids), timeout_s))

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """As ``Client.ready``."""
        try:
            return bool(await self._server.is_server_ready(client_timeout=self._timeout(timeout_s)))
        except InferenceServerException:
            return False

    async def wait_ready(self, timeout_s: float = 60.0) -> None:
        """As ``Client.wait_ready``."""
        deadline = time.monotonic() + timeout_s
        while not await self.ready(timeout_s=max(_POLL_S, min(5.0, deadline - time.monotonic()))):
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"the server at {self.address} was not ready within {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        """Close the connection."""
        await self._server.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run_all(self, calls: Sequence[wire.Call[wire.Answer]], timeout_s: float | None) -> list[wire.Answer]:
        turn = asyncio.Semaphore(_PARTS)

        async def run(call: wire.Call[wire.Answer]) -> wire.Answer:
            async with turn:
                return await self._run(call, timeout_s)

        return list(await asyncio.gather(*map(run, calls)))

    async def _run(self, call: wire.Call[wire.Answer], timeout_s: float | None) -> wire.Answer:
        timeout = self._timeout(timeout_s)
        # Only searches: to send a video again and again would make things worse.
        again = waits(timeout) if self._retry and call.model == SEARCH else iter(())
        while True:
            try:
                return call.read(await self._server.infer(call.model, call.inputs, client_timeout=timeout))
            except InferenceServerException as error:
                wait = next(again, None) if refused(error) else None
                if wait is None:
                    raise translate(error, self.address, timeout) from error
            await asyncio.sleep(wait)

    def _timeout(self, timeout_s: float | None) -> float | None:
        return self.timeout_s if timeout_s is None else timeout_s

    async def _signature(self, model: str, timeout_s: float | None) -> Signature:
        if model not in self._signatures:
            timeout = self._timeout(timeout_s)
            try:
                found = await self._server.get_model_metadata(model, client_timeout=timeout)
            except InferenceServerException as error:
                raise translate(error, self.address, timeout) from error
            self._signatures[model] = signature(found)
        return self._signatures[model]

    async def _config(self, model: str, timeout_s: float | None) -> Any:
        if model not in self._configs:
            timeout = self._timeout(timeout_s)
            try:
                found = await self._server.get_model_config(model, client_timeout=timeout)
            except InferenceServerException as error:
                raise translate(error, self.address, timeout) from error
            self._configs[model] = found.config
        return self._configs[model]
