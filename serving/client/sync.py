"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import FramesiftError
from .blocking import Blocking, finished
from .calls import Calls
from .connection import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, Credentials, Unset, check_address
from .gallery_client import GalleryClient
from .results import Indexed, Scores, Served, VideoRecord
from .search_client import SearchClient
from .uploads import Cuts, Features, IndexItem, Progress, Reached, Video


class Client(SearchClient, GalleryClient):
    """A connection to a framesift server; threads may share it.

    >>> with Client("127.0.0.1:8001") as client:
    ...     client.index("clip.mp4")
    ...     for hit in client.search("a dog catches a frisbee", top=3).hits:
    ...         print(hit.score, hit.id, "" if hit.moment is None else f"at {hit.moment:.1f} s")

    Every method raises one of ``framesift.errors`` and nothing else: InvalidInput for what the caller gave, ServerError
    for what the server could not do, ClientError when the client is closed. ``timeout_s`` of a call goes before that of
    the client, whose None waits for ever; where neither is given, a call that sends a video waits for 600 s and any
    other for 30. A search that the server refuses because it has too much to do is tried again for about three seconds,
    and a video to be indexed as long as its call waits, both for about 12 seconds where the server has gone away; then
    they raise ServerUnavailable, or at once where ``retry`` is false or no server has ever answered. A server beyond
    this machine asks for ``credentials``; without any, those that the environment names are shown. Of a server of
    several models ``model`` chooses one by its alias; without it the server's default answers.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        timeout_s: float | Unset | None = Unset.UNSET,
        *,
        retry: bool = True,
        credentials: Credentials | None = None,
        model: str | None = None,
    ) -> None:
        shown = Credentials.from_env() if credentials is None else credentials
        self._calls = Calls(
            Blocking(shown.check(check_address(address)), shown), address, timeout_s, retry, shown.headers, model
        )

    @property
    def address(self) -> str:
        """The server's gRPC address, HOST:PORT."""
        return self._calls.address

    @property
    def model(self) -> str | None:
        """The alias of the model that answers, where one was chosen."""
        return self._calls.model

    @property
    def timeout_s(self) -> float | None:
        """Seconds that a call without a video waits for an answer where it is given no others; None is for ever."""
        return self._calls.timeout_s

    def index(
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
        """Encode a video, a path or a file's bytes, and keep it in the gallery in place of what has the same id.

        Without ``id`` a film is called by its file's name, a feature file by its name without suffix, and bytes or
        arrays by their SHA-256.

        Args:
            features: for a model that reads them instead of a film, or beside it: the path or bytes of an npz or
                safetensors file, or its arrays by name; tags as a JSON file, or as lists of texts by name.
            segments: seconds of a segment, or a ``Cutting``: the film has a record for each of its segments then, and
                is found by its best one. A file that is larger than the server's limit is sent in pieces.

        Raises:
            InvalidVideo: it can't be read or decoded, or not be cut so.
            InvalidFeatures: they can't be read, or are not what the model takes.
            InvalidRequest: an id, source or metadata that breaks the gallery's rules, or segments that can't be.
            GalleryError: it could not be kept.
        """
        return finished(
            self._calls.index(video, id, source, metadata, features=features, segments=segments, timeout_s=timeout_s)
        )

    def index_many(
        self,
        items: Iterable[IndexItem],
        jobs: int = 4,
        *,
        progress: Progress | None = None,
        reached: Reached | None = None,
        segments: Cuts | None = None,
        timeout_s: float | None = None,
    ) -> list[Indexed | FramesiftError]:
        """Index many videos, ``jobs`` at a time, each as by ``index``.

        >>> outcomes = client.index_many(["a.mp4", ("b.mp4", "films/b", {"year": 1999})], jobs=8)
        >>> failed = [outcome for outcome in outcomes if isinstance(outcome, FramesiftError)]

        Args:
            items: videos, or tuples of a video, its id, its metadata and its features, which may be None or left out.
                For a model that reads features, arrays by name or the path of a feature file take a video's place.
            jobs: 1 to 64.
            progress: called as each ends, with its place in ``items`` and what became of it. What it raises ends the
                call; videos that are under way then are indexed none the less.
            reached: called of a film that is sent in pieces, as each is kept, with the film's place, its segments so
                far, and how many it has; where videos are sent by threads, by these.
            segments: how all films are cut, as of ``index``.
            timeout_s: seconds for one video, of a film in pieces for each.

        Returns:
            For every item, in order, what ``index`` returns or the error that it would raise. Once the server stays
            away, or lets nobody in, the rest is not tried and has the same error.

        Raises:
            InvalidRequest: no list of items, or ``jobs`` out of range.
            ClientError: the client is closed.
        """
        return finished(
            self._calls.index_many(
                items, jobs=jobs, progress=progress, reached=reached, segments=segments, timeout_s=timeout_s
            )
        )

    def encode_video(
        self,
        video: Video | None = None,
        id: str | None = None,
        *,
        features: Features | None = None,
        timeout_s: float | None = None,
    ) -> VideoRecord:
        """Encode a video, a path or a file's bytes, or ``features`` as by ``index``, and keep nothing.

        A model that draws noise draws it by the id, which is that of ``index`` where none is given.

        Raises:
            InvalidVideo: it can't be read or decoded.
            InvalidFeatures: they can't be read, or are not what the model takes.
            InvalidRequest: an id that breaks the gallery's rules.
        """
        return finished(self._calls.encode_video(video, id, features=features, timeout_s=timeout_s))

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
        return finished(self._calls.encode_frames(frames, mask, ids, timeout_s=timeout_s))

    def score(self, texts: Sequence[str], records: Sequence[VideoRecord], *, timeout_s: float | None = None) -> Scores:
        """Score every text against every record.

        Raises:
            InvalidQuery: an empty text, or one that can't be encoded.
            InvalidRequest: no texts, no records, or records of another model.
        """
        return finished(self._calls.score(texts, records, timeout_s=timeout_s))

    def served(self, *, timeout_s: float | None = None) -> Served:
        """Which model and which gallery answer at this address."""
        return finished(self._calls.served(timeout_s=timeout_s))

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is up and all its models are loaded."""
        return finished(self._calls.ready(timeout_s=timeout_s))

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server is ready.

        Raises:
            ServerUnavailable: it was not within ``timeout_s`` seconds.
        """
        finished(self._calls.wait_ready(timeout_s))

    def wait_searchable(self, indexed: Indexed, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Wait until searches see a video that ``index`` acknowledged, which they do within a second.

        Raises:
            DeadlineExceeded: they did not within ``timeout_s`` seconds.
        """
        finished(self._calls.wait_searchable(indexed, timeout_s))

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        finished(self._calls.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
