"""The calls of both clients, written once: what each asks of the server, and in what order.

They wait through a ``Transport`` alone. The blocking client's never suspends a coroutine, so ``Client`` runs each to
its end without an event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import check_alias
from ...export.bundle.errors import (
    AccessDenied,
    ClientError,
    FramesiftError,
    InvalidRequest,
    ServerError,
    ServerUnavailable,
)
from ...export.bundle.limits import MAX_VIDEO_BYTES
from ...export.bundle.models import (
    ENCODE_FRAMES,
    ENCODE_VIDEO,
    INDEX_VIDEO,
    SCORE_TEXT,
    SEARCH_VIDEO,
    SEARCH_VIDEO_TEXT,
)
from . import uploads, wire
from .connection import (
    DEFAULT_TIMEOUT_S,
    MODEL_HEADER,
    VIDEO_TIMEOUT_S,
    Unset,
    check_seconds,
)
from .gallery_calls import GalleryCalls
from .results import Indexed, Scores, Served, VideoRecord
from .search_calls import POLL_S, SearchCalls
from .sending import Sending
from .signature import Signature, signature
from .uploads import Brought, Cuts, Features, IndexItem, Item, Progress, Reached, Video

if TYPE_CHECKING:
    from ...export.bundle.segments import Cutting
    from .transport import Result, Transport

_ENDS = (ServerUnavailable, AccessDenied, ClientError)
_DECODED = {INDEX_VIDEO, ENCODE_VIDEO, SEARCH_VIDEO, SEARCH_VIDEO_TEXT}


class Calls(SearchCalls, GalleryCalls):
    """Every call, over one ``Transport``. ``Client`` says what they are, take and raise."""

    def __init__(
        self,
        transport: Transport,
        address: str,
        timeout_s: float | Unset | None,
        retry: bool,
        headers: dict[str, str] | None,
        model: str | None = None,
    ) -> None:
        if not isinstance(timeout_s, Unset) and timeout_s is not None:
            check_seconds(timeout_s)
        if not isinstance(retry, bool):
            raise InvalidRequest(f"retry is {type(retry).__name__}: give True or False")
        self.address = address
        self.timeout_s = DEFAULT_TIMEOUT_S if isinstance(timeout_s, Unset) else timeout_s
        self._video_timeout_s = VIDEO_TIMEOUT_S if isinstance(timeout_s, Unset) else timeout_s
        self._transport = transport
        self.model = None if model is None else check_alias(model)
        carried = headers if model is None else {**(headers or {}), MODEL_HEADER: model}
        self._sending = Sending(transport, address, carried, retry=retry)
        self._signatures: dict[str, Signature] = {}
        self._configs: dict[str, Any] = {}

    async def index(
        self,
        video: Video | None = None,
        id: str | None = None,
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        features: Features | None = None,
        segments: Cuts | None = None,
        timeout_s: float | None = None,
    ) -> Indexed:
        """As ``Client.index``."""
        cutting = uploads.read_cutting(segments)
        async with self._transport.turn():
            return await self._index(Item(video, id, metadata, features), source, cutting, timeout_s)

    async def index_many(
        self,
        items: Iterable[IndexItem],
        jobs: int = 4,
        *,
        progress: Progress | None = None,
        reached: Reached | None = None,
        segments: Cuts | None = None,
        timeout_s: float | None = None,
    ) -> list[Indexed | FramesiftError]:
        """As ``Client.index_many``."""
        cutting = uploads.read_cutting(segments)
        if timeout_s is not None:
            check_seconds(timeout_s)
        at_once, found = uploads.check_jobs(jobs), uploads.read_items(items)
        if progress is not None and not callable(progress):
            raise InvalidRequest(f"progress is {type(progress).__name__}: give a function of a place and a result")
        if reached is not None and not callable(reached):
            raise InvalidRequest(f"reached is {type(reached).__name__}: give a function of a place and two numbers")
        stopped: list[FramesiftError] = []
        cut: Mapping[str, Cutting] = {}
        # Where it can't be told now how films were cut, because too much is asked for, videos wait longer than that.
        with suppress(FramesiftError):
            cut = await self._cuttings(uploads.known_ids(found), timeout_s)

        async def one(given: tuple[int, Item | FramesiftError]) -> Indexed | FramesiftError:
            place, item = given
            if isinstance(item, FramesiftError):
                return item
            if stopped:
                return stopped[0]
            try:
                told = None if reached is None else partial(reached, place)
                indexed = await self._index(item, None, cutting, timeout_s, told)
                before = cut.get(indexed.id)
                return indexed if before in (None, cutting) else replace(indexed, before=before)
            except FramesiftError as error:
                # Whoever is not let in, or finds nobody, need not try with every other video.
                if isinstance(error, _ENDS):
                    stopped.append(error)
                return error

        return await self._transport.run_many(
            one, [*enumerate(found)], at_once, progress or (lambda place, result: None)
        )

    async def _index(
        self,
        item: Item,
        source: str | None,
        cutting: Cutting | None,
        timeout_s: float | None,
        reached: Callable[[int, int], object] | None = None,
    ) -> Indexed:
        if cutting is None:
            brought = await self._bring(item.video, item.features, INDEX_VIDEO, timeout_s)
            takes = await self._signature(INDEX_VIDEO, timeout_s)
            return await self._run(wire.index_call(brought, takes, item.id, source, item.metadata), timeout_s)
        from .films import files_of

        largest = wire.largest_video(await self._config(INDEX_VIDEO, timeout_s))
        takes = await self._signature(INDEX_VIDEO, timeout_s)
        files = files_of(item, cutting, largest)
        while (file := await self._transport.read(lambda: next(files, None))) is not None:
            call = wire.index_call(file.brought, takes, item.id, source, item.metadata, file.cut, file.film_digest)
            if (found := await self._run(call, timeout_s)).version:
                return found
            if reached is not None and file.reached is not None:
                reached(*file.reached)
        raise ServerUnavailable("segments of the film were lost: restarts, or several servers at an address; try again")

    async def encode_video(
        self,
        video: Video | None = None,
        id: str | None = None,
        *,
        features: Features | None = None,
        timeout_s: float | None = None,
    ) -> VideoRecord:
        """As ``Client.encode_video``."""
        async with self._transport.turn():
            brought = await self._bring(video, features, ENCODE_VIDEO, timeout_s)
            takes = await self._signature(ENCODE_VIDEO, timeout_s)
            return await self._run(wire.encode_video_call(brought, id, takes), timeout_s)

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
        rows = wire.encode_texts(texts)
        takes = wire.record_inputs(await self._signature(SCORE_TEXT, timeout_s))
        most = wire.pairs_per_call(await self._config(SCORE_TEXT, timeout_s))
        calls = wire.score_calls(rows, records, takes, most)
        parts = iter(await self._run_all([call for row in calls for call in row], timeout_s))
        return wire.joined_scores([[next(parts) for _ in row] for row in calls])

    async def served(self, *, timeout_s: float | None = None) -> Served:
        """As ``Client.served``."""
        config = await self._config(INDEX_VIDEO, timeout_s)
        found = await self.lookup([], timeout_s=timeout_s)
        return wire.served(self.address, config, found.count)

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """As ``Client.ready``."""
        return await self._sending.ready(timeout_s=self._timeout(timeout_s))

    async def wait_ready(self, timeout_s: float = 60.0) -> None:
        """As ``Client.wait_ready``."""
        seconds = check_seconds(timeout_s)
        deadline = time.monotonic() + seconds
        while not await self.ready(timeout_s=max(POLL_S, min(5.0, deadline - time.monotonic()))):
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"the server at {self.address} was not ready within {seconds:g} s")
            await self._transport.sleep(POLL_S)

    async def close(self) -> None:
        """As ``Client.close``."""
        await self._transport.close()

    async def _run_all(self, calls: Sequence[wire.Call[wire.Answer]], timeout_s: float | None) -> list[wire.Answer]:
        return await self._transport.run_all(lambda call: self._run(call, timeout_s), calls)

    async def _run(self, call: wire.Call[wire.Answer], timeout_s: float | None) -> wire.Answer:
        timeout = self._timeout(timeout_s, self._video_timeout_s if call.model in _DECODED else self.timeout_s)
        return self._readable(call.read, await self._sending.infer(call, timeout_s=timeout))

    async def _bring(
        self, video: Video | None, features: Features | None, model: str, timeout_s: float | None
    ) -> Brought:
        # Only servers that were told so accept more than others.
        large = video is not None and uploads.is_large(video)
        largest = wire.largest_video(await self._config(model, timeout_s)) if large else MAX_VIDEO_BYTES
        return await self._transport.read(lambda: uploads.read_brought(video, features, largest))

    async def _signature(self, model: str, timeout_s: float | None) -> Signature:
        if model not in self._signatures:
            found = await self._sending.once("get_model_metadata", model, timeout_s=self._timeout(timeout_s))
            self._signatures[model] = self._readable(signature, found)
        return self._signatures[model]

    async def _config(self, model: str, timeout_s: float | None) -> Any:
        if model not in self._configs:
            found = await self._sending.once("get_model_config", model, timeout_s=self._timeout(timeout_s))
            self._configs[model] = found.config
        return self._configs[model]

    def _readable(self, read: Callable[[Any], Result], answer: Any) -> Result:
        try:
            return read(answer)
        except (LookupError, TypeError, ValueError) as error:
            raise ServerError(
                f"an answer of the server at {self.address} can't be read ({error}): "
                "client and server are not of one version"
            ) from error

    def _timeout(self, timeout_s: float | None, default: float | Unset | None = Unset.UNSET) -> float | None:
        usual = self.timeout_s if isinstance(default, Unset) else default
        timeout = usual if timeout_s is None else timeout_s
        return None if timeout is None else check_seconds(timeout)
