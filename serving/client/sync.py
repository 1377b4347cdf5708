"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import ClientError
from .calls import Calls, Item, Result
from .connection import (
    CLOSED,
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    Credentials,
    channel_options,
    check_address,
)
from .results import Indexed, LookupResult, Scores, SearchResult, VideoRecord
from .uploads import Upload, Video, read_video


class Client:
    """A connection to a framesift server; threads may share it.

    >>> with Client("127.0.0.1:8001") as client:
    ...     client.index("clip.mp4")
    ...     for hit in client.search("a dog catches a frisbee", top=3).hits:
    ...         print(hit.score, hit.id, hit.moment)

    Every method raises one of ``framesift.errors`` and nothing else: InvalidInput for what the caller gave, ServerError
    for what the server could not do, ClientError when the client is closed. ``timeout_s`` of a call goes before that of
    the client, whose None waits for ever. A search that the server refuses because it has too much to do is tried again
    for about three seconds, unless ``retry`` is false, and then raises ServerUnavailable. A server beyond this machine
    asks for ``credentials``; without any, those that the environment names are shown.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        *,
        retry: bool = True,
        credentials: Credentials | None = None,
    ) -> None:
        shown = Credentials.from_env() if credentials is None else credentials
        self._calls = Calls(_Blocking(check_address(address), shown), address, timeout_s, retry, shown.headers)

    @property
    def address(self) -> str:
        """The server's gRPC address, HOST:PORT."""
        return self._calls.address

    @property
    def timeout_s(self) -> float | None:
        """Seconds that a call waits for an answer where it is given no others; None is for ever."""
        return self._calls.timeout_s

    def search(self, text: str, top: int = 10, *, timeout_s: float | None = None) -> SearchResult:
        """The ``top`` best videos for a text, fewer when the gallery has fewer.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: ``top`` outside 1..1000.
        """
        return _finished(self._calls.search(text, top, timeout_s=timeout_s))

    def search_many(self, texts: Sequence[str], top: int = 10, *, timeout_s: float | None = None) -> list[SearchResult]:
        """As ``search``, for many texts at once; the timeout is of each request of up to 32 texts."""
        return _finished(self._calls.search_many(texts, top, timeout_s=timeout_s))

    def index(
        self,
        video: Video,
        id: str | None = None,
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Indexed:
        """Encode a video, a path or a file's bytes, and keep it in the gallery in place of what has the same id.

        Without ``id`` a file is called by its name and bytes by their SHA-256.

        Raises:
            InvalidVideo: it can't be read or decoded.
            InvalidRequest: an id, source or metadata that breaks the gallery's rules.
            GalleryError: it could not be kept.
        """
        return _finished(self._calls.index(video, id, source, metadata, timeout_s=timeout_s))

    def encode_video(self, video: Video, id: str | None = None, *, timeout_s: float | None = None) -> VideoRecord:
        """Encode a video, a path or a file's bytes, and keep nothing.

        A model that draws noise draws it by the id, which is that of ``index`` where none is given.

        Raises:
            InvalidVideo: it can't be read or decoded.
            InvalidRequest: an id that breaks the gallery's rules.
        """
        return _finished(self._calls.encode_video(video, id, timeout_s=timeout_s))

    def encode_frames(
        self,
        frames: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
        mask: npt.ArrayLike | None = None,
        ids: Sequence[str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> list[VideoRecord]:
        """Encode clips that are sampled and resized already.

        Args:
            frames: RGB from 0 to 255, [clips, F, 3, S, S]; uint8, or float32 where the model takes that.
            mask: [clips, F], 1 for a frame and 0 for padding, for a model that leaves padding out. All frames count
                where it is not given.
            ids: one id a clip, for a model that draws noise by it.

        Raises:
            InvalidRequest: another dtype or shape than the model's, a mask of a model that takes none, or no ids where
                it needs them.
        """
        return _finished(self._calls.encode_frames(frames, mask, ids, timeout_s=timeout_s))

    def score(self, texts: Sequence[str], records: Sequence[VideoRecord], *, timeout_s: float | None = None) -> Scores:
        """Score every text against every record.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: no texts, no records, or records of another model.
        """
        return _finished(self._calls.score(texts, records, timeout_s=timeout_s))

    def lookup(self, ids: Sequence[str], *, timeout_s: float | None = None) -> LookupResult:
        """Which ids the gallery has, and its size; no ids ask for the size alone.

        Raises:
            InvalidRequest: an id that breaks the gallery's rules.
        """
        return _finished(self._calls.lookup(ids, timeout_s=timeout_s))

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is up and all its models are loaded."""
        return _finished(self._calls.ready(timeout_s=timeout_s))

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server is ready.

        Raises:
            ServerUnavailable: it was not within ``timeout_s`` seconds.
        """
        _finished(self._calls.wait_ready(timeout_s))

    def wait_searchable(self, indexed: Indexed, timeout_s: float = 10.0) -> None:
        """Wait until searches see a video that ``index`` acknowledged, which they do within a second.

        Raises:
            DeadlineExceeded: they did not within ``timeout_s`` seconds.
        """
        _finished(self._calls.wait_searchable(indexed, timeout_s))

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        _finished(self._calls.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Blocking:
    """A ``Transport`` that blocks, and so never suspends a coroutine."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._server = InferenceServerClient(address, channel_args=channel_options(address), **credentials.channel)
        self._closed = False

    async def send(self, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._server)
        # gRPC's two words for a connection that is closed before a call, and during one by another thread.
        except (ValueError, InferenceServerException) as error:
            if self._closed:
                raise ClientError(CLOSED) from error
            raise

    async def read(self, video: Video, largest: int) -> Upload:
        return read_video(video, largest)

    async def run_all(self, run: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
        return [await run(item) for item in items]

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def close(self) -> None:
        self._closed = True
        self._server.close()


def _finished(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that is never suspended."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("a blocking call was suspended")
