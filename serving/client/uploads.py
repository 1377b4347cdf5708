"""Videos on their way to the server, one by one and many together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from ...export.bundle.checks import check_video_bytes, listed
from ...export.bundle.errors import FramesiftError, InvalidRequest, InvalidVideo
from ...export.bundle.limits import MAX_VIDEO_BYTES
from .results import Indexed

Video = bytes | str | os.PathLike[str]
IndexItem = Video | tuple[Video, str | None] | tuple[Video, str | None, Mapping[str, Any] | None]
"""A video, or a tuple of a video, its id and its metadata; without an id it gets that of ``Client.index``."""

Progress = Callable[[int, Indexed | FramesiftError], object]
"""Called with an item's place and what became of it."""

MAX_JOBS = 64


@dataclass(frozen=True)
class Upload:
    """A video file's bytes, with the id and source that it gets when the caller names none."""

    data: bytes
    id: str
    source: str

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the bytes."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True)
class Item:
    """One video to be indexed."""

    video: Video
    id: str | None = None
    metadata: Mapping[str, Any] | None = None


def read_video(video: Video, largest: int = MAX_VIDEO_BYTES) -> Upload:
    """Read a video: bytes as they are, anything else is the path of a file.

    A file's id is its name and its source its path; bytes are called by their digest.

    Args:
        largest: the most bytes that the server accepts.

    Raises:
        InvalidVideo: neither bytes nor a path, no such file, empty, or larger than ``largest``.
    """
    if isinstance(video, bytes):
        _check_size(len(video), largest)
        return Upload(video, hashlib.sha256(video).hexdigest(), "")
    path = _path(video)
    try:
        # The size first: reading what is too large to be sent could take all memory.
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidVideo(f"{path} is not a file")
        _check_size(size, largest)
        data = path.read_bytes()
    except OSError as error:
        raise InvalidVideo(f"{path} can't be read: {error.strerror}") from error
    return Upload(data, path.name, os.fspath(path))


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


def _item(given: Any) -> Item | FramesiftError:
    if not isinstance(given, tuple):
        return Item(given)
    if not 1 <= len(given) <= 3:
        return InvalidRequest(f"an item has {len(given)} parts: give a path, or a path, an id and metadata")
    return Item(*given)


def _known_id(item: Item) -> str | None:
    """The id that a video will get, as far as it is known before the video is read."""
    if item.id is not None:
        return item.id if isinstance(item.id, str) else None
    if isinstance(item.video, bytes):
        return None
    try:
        return os.path.basename(os.fsdecode(item.video))
    # What is no path is refused when it is read, whatever its own way to a path raises.
    except Exception:
        return None


def _path(video: str | os.PathLike[str]) -> Path:
    try:
        name = os.fsencode(video)
    # Whatever an object's own way to a path raises.
    except Exception as error:
        raise InvalidVideo(f"the video is no path ({error}): give a file's path or its bytes") from error
    if b"\0" in name:
        raise InvalidVideo(f"the path {name!r} holds a zero byte: no file is called that")
    return Path(os.fsdecode(name))


def is_large(video: Video) -> bool:
    """Whether a video is larger than every server accepts; False where that can't be seen."""
    if isinstance(video, bytes):
        return len(video) > MAX_VIDEO_BYTES
    try:
        return _path(video).stat().st_size > MAX_VIDEO_BYTES
    except (OSError, InvalidVideo):
        return False


def digest_of(path: Path) -> bytes:
    """The SHA-256 of a file.

    Raises:
        InvalidVideo: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise InvalidVideo(f"{path} can't be read: {error.strerror}") from error


def _check_size(size: int, largest: int) -> None:
    if size == 0:
        raise InvalidVideo("the file is empty")
    check_video_bytes(size, largest)
