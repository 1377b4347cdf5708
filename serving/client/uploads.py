"""Videos on their way to the server."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.checks import check_video_bytes
from ...export.bundle.errors import InvalidVideo
from ...export.bundle.limits import MAX_VIDEO_BYTES

Video = bytes | str | os.PathLike[str]


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
