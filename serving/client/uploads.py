"""Videos on their way to the server."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.checks import check_video_bytes
from ...export.bundle.errors import InvalidVideo

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


def read_video(video: Video) -> Upload:
    """Read a video: bytes as they are, anything else is the path of a file.

    A file's id is its name and its source its path; bytes are called by their digest.

    Raises:
        InvalidVideo: neither bytes nor a path, no such file, empty, or larger than servers accept.
    """
    if isinstance(video, bytes):
        _check_size(len(video))
        return Upload(video, hashlib.sha256(video).hexdigest(), "")
    path = _path(video)
    try:
        # The size first: reading what is too large to be sent could take all memory.
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidVideo(f"{path} is not a file")
        _check_size(size)
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


def _check_size(size: int) -> None:
    if size == 0:
        raise InvalidVideo("the file is empty")
    check_video_bytes(size)
