"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import DeadlineExceeded, ServerUnavailable
from ..repository.plan import SCORE_TEXT
from . import wire
from .channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, channel_options
from .errors import translate
from .results import Found, Indexed, Scores, SearchResult, VideoRecord
from .uploads import Video, read_video

_POLL_S = 0.1


class Client:
    """A connection to a framesift server; threads may share it.

    >>> with Client("127.0.0.1:8001") as client:
    ...     client.index("clip.mp4")
    ...     for hit in client.search("a dog catches a frisbee", top=3).hits:
    ...         print(hit.score, hit.id, hit.moment)

    Every method raises one of ``framesift.export.bundle.errors``: InvalidInput for what the caller gave,
    ServerError for what the server could not do. ``timeout_s`` of a call goes before that of the client; None
    waits for ever.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._server = InferenceServerClient(address, channel_args=channel_options(address))
        self._scored: tuple[str, ...] | None = None

    def search(self, text: str, top: int = 10, *, timeout_s: float | None = None) -> SearchResult:
        """The ``top`` best videos for a text, fewer when the gallery has fewer.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: ``top`` outside 1..1000.
        """
        return self.search_many([text], top, timeout_s=timeout_s)[0]

    def search_many(self, texts: Sequence[str], top: int = 10, *, timeout_s: float | None = None) -> list[SearchResult]:
        """As ``search``, for many texts at once; the timeout is of each request of up to 32 texts."""
        return [result for call in wire.search_calls(texts, top) for result in self._run(call, timeout_s)]

    def index(
        self,
        video: Video,
        id: str | None = None,
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Indexed:
        """Encode a video, a path or a file's bytes, and keep it in the gallery in place of what has the same
        id.

        Without ``id`` a file is called by its name and bytes by their SHA-256.

        Raises:
            InvalidVideo: it can't be read or decoded.
            InvalidRequest: an id, source or metadata that breaks the gallery's rules.
            GalleryError: it could not be kept.
        """
        return self._run(wire.index_call(read_video(video), id, source, metadata), timeout_s)

    def encode_video(self, video: Video, *, timeout_s: float | None = None) -> VideoRecord:
        """Encode a video, a path or a file's bytes, and keep nothing.

        Raises:
            InvalidVideo: it can't be read or decoded.
        """
        return self._run(wire.encode_video_call(read_video(video)), timeout_s)

    def encode_frames(self, frames: npt.NDArray[np.uint8], *, timeout_s: float | None = None) -> list[VideoRecord]:
        """Encode clips that are sampled and resized already, uint8 [clips, F, 3, S, S] in RGB.

        Raises:
            InvalidRequest: another dtype or shape than the model's.
        """
        return [record for call in wire.encode_frames_calls(frames) for record in self._run(call, timeout_s)]

    def score(self, texts: Sequence[str], records: Sequence[VideoRecord], *, timeout_s: float | None = None) -> Scores:
        """Score every text against every record.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: no texts, no records, or records of another model.
        """
        calls = wire.score_calls(texts, records, self._record_inputs(timeout_s))
        return wire.joined_scores([self._run(call, timeout_s) for call in calls])

    def wait_searchable(self, indexed: Indexed, timeout_s: float = 10.0) -> None:
        """Wait until searches see a video that ``index`` acknowledged, which they do within a second.

        Raises:
            DeadlineExceeded: they did not within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while self.search("any", top=1).version < indexed.version:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{indexed.id} was not searchable within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def lookup(self, ids: Sequence[str], *, timeout_s: float | None = None) -> Found:
        """Which ids the gallery has, and its size; no ids ask for the size alone."""
        return wire.joined_found([self._run(call, timeout_s) for call in wire.lookup_calls(ids)])

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is up and all its models are loaded."""
        try:
            return bool(self._server.is_server_ready(client_timeout=self._timeout(timeout_s)))
        except InferenceServerException:
            return False

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server is ready.

        Raises:
            ServerUnavailable: it was not within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while not self.ready(timeout_s=max(_POLL_S, min(5.0, deadline - time.monotonic()))):
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"the server at {self.address} was not ready within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: wire.Call[wire.Answer], timeout_s: float | None) -> wire.Answer:
        timeout = self._timeout(timeout_s)
        try:
            return call.read(self._server.infer(call.model, call.inputs, client_timeout=timeout))
        except InferenceServerException as error:
            raise translate(error, self.address, timeout) from error

    def _timeout(self, timeout_s: float | None) -> float | None:
        return self.timeout_s if timeout_s is None else timeout_s

    def _record_inputs(self, timeout_s: float | None) -> tuple[str, ...]:
        if self._scored is None:
            timeout = self._timeout(timeout_s)
            try:
                self._scored = wire.record_inputs(self._server.get_model_metadata(SCORE_TEXT, client_timeout=timeout))
            except InferenceServerException as error:
                raise translate(error, self.address, timeout) from error
        return self._scored
