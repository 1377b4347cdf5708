"""Files of videos that the server may read: those below one folder, whatever names and links say."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..status import Code, Refusal

# What a browser is told of a file that ends so. Only these are read: other files are no videos.
KINDS: Mapping[str, bytes] = {
    ".mp4": b"video/mp4",
    ".m4v": b"video/mp4",
    ".f4v": b"video/mp4",
    ".mov": b"video/quicktime",
    ".qt": b"video/quicktime",
    ".3gp": b"video/3gpp",
    ".3g2": b"video/3gpp2",
    ".mkv": b"video/x-matroska",
    ".webm": b"video/webm",
    ".ogv": b"video/ogg",
    ".avi": b"video/x-msvideo",
    ".flv": b"video/x-flv",
    ".wmv": b"video/x-ms-wmv",
    ".asf": b"video/x-ms-asf",
    ".mpg": b"video/mpeg",
    ".mpeg": b"video/mpeg",
    ".vob": b"video/mpeg",
    ".ts": b"video/mp2t",
    ".mts": b"video/mp2t",
    ".m2ts": b"video/mp2t",
}


@dataclass(frozen=True)
class Film:
    """A file that is open for reading; ``tag`` is another one once the file has changed."""

    descriptor: int
    size: int
    kind: bytes
    tag: bytes

    def read(self, start: int, size: int) -> bytes:
        """So many of its bytes, or fewer at its end."""
        return os.pread(self.descriptor, size, start)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


class Films:
    """Opens files.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)

    def open(self, id_: str, source: str) -> Film:
        """The file of a video: its source, where that lies below the folder, or the path that its id is there.

        Raises:
            Refusal: there is none.
        """
        for name in (source, id_):
            if name and (film := self._opened(name)) is not None:
                return film
        raise Refusal(
            Code.NOT_FOUND, f"the server has no file of {id_[:100]!r} below the folder that it was given with --videos"
        )

    def _opened(self, name: str) -> Film | None:
        # Where a link leads decides, and it is looked at before anything is opened: a device could take offence.
        path = os.path.realpath(os.path.join(self._root, name))
        kind = KINDS.get(os.path.splitext(path)[1].lower())
        if kind is None or not self._holds(path) or not os.path.isfile(path):
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        found = os.fstat(descriptor)
        # A folder on the way may have become a link meanwhile: what was opened decides.
        if not stat.S_ISREG(found.st_mode) or not self._holds(os.readlink(f"/proc/self/fd/{descriptor}")):
            os.close(descriptor)
            return None
        return Film(descriptor, found.st_size, kind, b'"%x-%x"' % (found.st_mtime_ns, found.st_size))

    def _holds(self, path: str) -> bool:
        return os.path.commonpath((self._root, path)) == self._root
