"""Videos on their way to the server, one by one and many together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import FEATURE_SUFFIXES, NO_FEATURES, check_id, check_video_bytes, listed
from ...export.bundle.errors import FramesiftError, InvalidRequest, InvalidVideo
from ...export.bundle.limits import MAX_VIDEO_BYTES
from ...export.bundle.ports import FEATURES, VIDEO
from ...export.bundle.segments import Cutting
from .results import Indexed

Video = bytes | str | os.PathLike[str]

Features = bytes | str | os.PathLike[str] | Mapping[str, npt.ArrayLike]
"""A feature file's path or bytes, its arrays by name, or tags: lists of texts by the expert's name."""

Like = str | os.PathLike[str] | bytes | Mapping[str, npt.ArrayLike] | Any
"""The id of a video of the gallery (a text); or, of what is sent, a path (``pathlib.Path``), a file's bytes, features
as of ``Client.index``, or a picture: uint8 [H, W, 3], or an image of Pillow's."""

_Either = Video | Mapping[str, npt.ArrayLike]
IndexItem = (
    _Either
    | tuple[_Either, str | None]
    | tuple[_Either, str | None, Mapping[str, Any] | None]
    | tuple[_Either | None, str | None, Mapping[str, Any] | None, Features | None]
)
"""A video, or a tuple of a video, its id, its metadata and its features; without an id it gets that of
``Client.index``. In the place of a video, arrays by name and the path of a feature file are features."""

Cuts = Cutting | float
"""How films are cut: seconds of a segment, or a ``Cutting``."""

Progress = Callable[[int, Indexed | FramesiftError], object]
"""Called with an item's place and what became of it."""

Reached = Callable[[int, int, int], object]
"""Called with an item's place, how many segments of its film have been kept so far, and of how many."""

MAX_JOBS = 64


@dataclass(frozen=True)
class Upload:
    """A file's bytes, with the id and source that the video gets when the caller names none."""

    data: bytes
    id: str
    source: str

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the bytes."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True)
class Brought:
    """A film, its features, or both."""

    video: Upload | None
    features: Upload | None

    @property
    def named(self) -> Upload:
        """Which of both the video's id and source are taken from."""
        found = self.video or self.features
        assert found is not None
        return found

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the file; of both files' where there are two, so that a change of either shows."""
        if self.video is None or self.features is None:
            return self.named.digest
        return joined_digest(self.video.digest, self.features.digest)

    def tensors(self, takes: Collection[str]) -> dict[str, npt.NDArray[np.uint8]]:
        """The files' content, uint8 [1, N], for a model that ``takes`` tensors of these names.

        A model that takes both needs both, where a film may have no features.
        """
        both = {VIDEO: self.video, FEATURES: self.features}
        found = {name: np.frombuffer(file.data, np.uint8)[None] for name, file in both.items() if file is not None}
        if both.keys() <= set(takes) and self.features is None:
            found[FEATURES] = np.frombuffer(NO_FEATURES, np.uint8)[None]
        return found


def joined_digest(video: bytes, features: bytes) -> bytes:
    """What stands for a film and its feature file, from the SHA-256 of each."""
    return hashlib.sha256(video + features).digest()


@dataclass(frozen=True)
class Item:
    """One video to be indexed."""

    video: Video | None
    id: str | None = None
    metadata: Mapping[str, Any] | None = None
    features: Features | None = None


def read_video(video: Video, largest: int = MAX_VIDEO_BYTES) -> Upload:
    """Read a video: bytes as they are, anything else is the path of a file.

    A file's id is its name and its source its absolute path; bytes are called by their digest.

    Args:
        largest: the most bytes that the server accepts.

    Raises:
        InvalidVideo: neither bytes nor a path, no such file, empty, or larger than ``largest``.
    """
    if isinstance(video, bytes):
        _check_size(len(video), largest)
        return Upload(video, hashlib.sha256(video).hexdigest(), "")
    path = path_of(video, "video")
    return Upload(read_file(path, lambda size: _check_size(size, largest)), path.name, os.path.abspath(path))


def read_brought(video: Video | None, features: Features | None, largest: int = MAX_VIDEO_BYTES) -> Brought:
    """Read a film, its features, or both; see ``read_video`` and ``features.read_features``.

    Raises:
        InvalidRequest: neither is given.
        InvalidVideo, InvalidFeatures: it can't be read.
    """
    if video is None and features is None:
        raise InvalidRequest("there is neither a video nor features: give one of them")
    film = None if video is None else read_video(video, largest)
    if features is None:
        return Brought(film, None)
    # Most models read none.
    from .features import read_features

    return Brought(film, read_features(features))


def read_items(items: Iterable[IndexItem]) -> list[Item | FramesiftError]:
    """The items, and in the place of each that can't be right its error.

    Raises:
        InvalidRequest: no list of items.
    """
    seen: dict[str, int] = {}
    found: list[Item | FramesiftError] = []
    for place, given in enumerate(listed(items, "items")):
        item = _item(given)
        if isinstance(item, Item) and (id_ := _known_id(item)) is not None:
            first = seen.setdefault(id_, place)
            if first != place:
                item = InvalidRequest(f"items {first} and {place} would both get the id {id_!r}: give each its own")
        found.append(item)
    return found


def check_jobs(value: object) -> int:
    """The number of videos sent at once itself.

    Raises:
        InvalidRequest: no whole number, or outside 1..``MAX_JOBS``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidRequest(f"jobs is {type(value).__name__}, it must be a whole number")
    if not 1 <= int(value) <= MAX_JOBS:
        raise InvalidRequest(f"jobs is {int(value)}, it must lie in 1..{MAX_JOBS}")
    return int(value)


def read_cutting(segments: Cuts | None) -> Cutting | None:
    """How films are cut, as a caller gave it.

    Raises:
        InvalidRequest: neither a number of seconds nor a ``Cutting``, or one that can't be.
    """
    if segments is None:
        return None
    if isinstance(segments, Cutting):
        return segments
    if isinstance(segments, bool) or not isinstance(segments, int | float):
        raise InvalidRequest(f"segments is {type(segments).__name__}: give their seconds, or a Cutting")
    return Cutting(segments)


def _item(given: Any) -> Item | FramesiftError:
    if not isinstance(given, tuple):
        return _sorted(Item(given))
    if not 1 <= len(given) <= 4:
        return InvalidRequest(f"an item has {len(given)} parts: give a path, or a path, an id, metadata and features")
    return _sorted(Item(*given))


def _sorted(item: Item) -> Item:
    """The item with features in their place, where they stand in that of a video."""
    if item.features is None and (isinstance(item.video, Mapping) or is_feature_file(item.video)):
        return replace(item, video=None, features=item.video)
    return item


def known_ids(items: Iterable[Item | FramesiftError]) -> list[str]:
    """The ids that videos will get, where they are known before a video is read, and are none that is refused."""
    found: list[str] = []
    for item in items:
        with suppress(InvalidRequest):
            if isinstance(item, Item) and (id_ := _known_id(item)) is not None:
                found.append(check_id(id_))
    return [*dict.fromkeys(found)]


def _known_id(item: Item) -> str | None:
    """The id that a video will get, as far as it is known before the video is read."""
    if item.id is not None:
        return item.id if isinstance(item.id, str) else None
    named = item.features if item.video is None else item.video
    if named is None or isinstance(named, bytes | Mapping):
        return None
    try:
        name = os.path.basename(os.fsdecode(named))
        return name if item.video is not None else os.path.splitext(name)[0]
    # What is no path is refused when it is read, whatever its own way to a path raises.
    except Exception:
        return None


def is_large(video: Video) -> bool:
    """Whether a video is larger than every server accepts; False where that can't be seen."""
    if isinstance(video, bytes):
        return len(video) > MAX_VIDEO_BYTES
    try:
        return path_of(video, "video").stat().st_size > MAX_VIDEO_BYTES
    except (OSError, InvalidVideo):
        return False


def path_of(given: str | os.PathLike[str], what: str) -> Path:
    """The path that a caller gave; ``what`` names it in messages.

    Raises:
        InvalidVideo: it is no path.
    """
    try:
        name = os.fsencode(given)
    # Whatever an object's own way to a path raises.
    except Exception as error:
        raise InvalidVideo(f"the {what} is no path ({error}): give a file's path or its bytes") from error
    if b"\0" in name:
        raise InvalidVideo(f"the path {name!r} holds a zero byte: no file is called that")
    return Path(os.fsdecode(name))


def read_file(path: Path, check: Callable[[int], object]) -> bytes:
    """A file's content; ``check`` is called with its size first, for what is too large could take all memory.

    Raises:
        InvalidVideo: no such file, or one that can't be read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidVideo(f"{path} is not a file")
        check(size)
        return path.read_bytes()
    except OSError as error:
        raise InvalidVideo(f"{path} can't be read: {error.strerror}") from error


def is_feature_file(path: object) -> bool:
    """Whether a path is that of a feature file, by its suffix."""
    return isinstance(path, str | os.PathLike) and Path(os.fsdecode(path)).suffix.lower() in FEATURE_SUFFIXES


def _check_size(size: int, largest: int) -> None:
    if size == 0:
        raise InvalidVideo("the file is empty")
    check_video_bytes(size, largest)
