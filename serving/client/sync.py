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


class Client:
    """A connection to a framesift server; threads may share it.

    >>> with Client("127.0.0.1:8001") as client:
    ...     client.index("clip.mp4")
    ...     for hit in client.search("a dog catches a frisbee", top=3).hits:
    ...         print(hit.score, hit.id, hit.moment)

    Every method raises one of ``framesift.export.bundle.errors``: InvalidInput for what the caller gave,
    ServerError for what the server could not do. ``timeout_s`` of a call goes before that of the client; None
    waits for ever. A search that the server refuses because it has too much to do is tried again for about three
    seconds, unless ``retry`` is false, and then raises ServerUnavailable.
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

    def search(self, text: str, top: int = 10, *, timeout_s: float | None = None) -> SearchResult:
        """The ``top`` best videos for a text, fewer when the gallery has fewer.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: ``top`` outside 1..1000.
        """
        return self.search_many([text], top, timeout_s=timeout_s)[0]

    def search_many(self, texts: Sequence[str], top: int = 10, *, timeout_s: float | None = None) -> list[SearchResult]:
        """As ``search``, for many texts at once; the timeout is of each request of up to 32 texts."""
        most = wire.texts_per_search(self._config(SEARCH, timeout_s))
        return [result for call in wire.search_calls(texts, top, most) for result in self._run(call, timeout_s)]

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

    def encode_video(self, video: Video, id: str | None = None, *, timeout_s: float | None = None) -> VideoRecord:
        """Encode a video, a path or a file's bytes, and keep nothing.

        A model that draws noise draws it by the id, which is that of ``index`` where none is given.

        Raises:
            InvalidVideo: it can't be read or decoded.
            InvalidRequest: an id that breaks the gallery's rules.
        """
        upload = read_video(video)
        return self._run(wire.encode_video_call(upload, id, self._signature(ENCODE_VIDEO, timeout_s)), timeout_s)

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
        calls = wire.encode_frames_calls(self._signature(ENCODE_FRAMES, timeout_s), frames, mask, ids)
        return [record for call in calls for record in self._run(call, timeout_s)]

    def score(self, texts: Sequence[str], records: Sequence[VideoRecord], *, timeout_s: float | None = None) -> Scores:
        """Score every text against every record.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: no texts, no records, or records of another model.
        """
        names = wire.record_inputs(self._signature(SCORE_TEXT, timeout_s))
        calls = wire.score_calls(texts, records, names, wire.pairs_per_call(self._config(SCORER, timeout_s)))
        return wire.joined_scores([[self._run(call, timeout_s) for call in row] for row in calls])

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
        # Only searches: to send a video again and again would make things worse.
        again = waits(timeout) if self._retry and call.model == SEARCH else iter(())
        while True:
            try:
                return call.read(self._server.infer(call.model, call.inputs, client_timeout=timeout))
            except InferenceServerException as error:
                wait = next(again, None) if refused(error) else None
                if wait is None:
                    raise translate(error, self.address, timeout) from error
            time.sleep(wait)

    def _timeout(self, timeout_s: float | None) -> float | None:
        return self.timeout_s if timeout_s is None else timeout_s

    def _signature(self, model: str, timeout_s: float | None) -> Signature:
        if model not in self._signatures:
            timeout = self._timeout(timeout_s)
            try:
                found = self._server.get_model_metadata(model, client_timeout=timeout)
            except InferenceServerException as error:
                raise translate(error, self.address, timeout) from error
            self._signatures[model] = signature(found)
        return self._signatures[model]

    def _config(self, model: str, timeout_s: float | None) -> Any:
        if model not in self._configs:
            timeout = self._timeout(timeout_s)
            try:
                self._configs[model] = self._server.get_model_config(model, client_timeout=timeout).config
            except InferenceServerException as error:
                raise translate(error, self.address, timeout) from error
        return self._configs[model]
