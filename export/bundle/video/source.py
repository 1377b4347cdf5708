"""A video file's bytes as FFmpeg gets to see them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ..errors import InvalidVideo
from .work import Work

Source = bytes | Path | BinaryIO
"""A file's content, its path, or the file itself, opened for reading."""


def readable(source: Source) -> BinaryIO:
    """The file itself, opened for reading.

    Raises:
        InvalidVideo: no such file, or one that is no regular file or can't be read.
    """
    if isinstance(source, bytes):
        return BytesIO(source)
    if not isinstance(source, Path):
        return source
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise InvalidVideo(f"{source} is not a file")
        return source.open("rb", buffering=0)
    except OSError as error:
        raise InvalidVideo(f"{source} can't be read: {error.strerror}") from error


class View:
    """A reader of a file with a place of its own, which shows some bytes otherwise than they are.

    Args:
        data: the file, which may have other readers.
        size: its length in bytes.
        mask: bytes by place in the file, to show instead of its own.
        work: asked at every reading, because some files make FFmpeg read on and on.
    """

    def __init__(self, data: BinaryIO, size: int, mask: Mapping[int, bytes], work: Work) -> None:
        self._data, self._size, self._mask, self._work = data, size, mask, work
        self._masked_until = max(mask, default=-1) + 1
        self._place = 0

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes from the present place on; none at the end.

        Raises:
            InvalidVideo: the work limit is reached.
        """
        self._work.spend()
        self._data.seek(self._place)
        found = self._data.read(count)
        first, self._place = self._place, self._place + len(found)
        return found if first >= self._masked_until else self._shown(found, first)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; returns it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        """The present place."""
        return self._place

    def _shown(self, found: bytes, first: int) -> bytes:
        shown = bytearray(found)
        for place, instead in self._mask.items():
            start = place - first
            for number, byte in enumerate(instead, start):
                if 0 <= number < len(shown):
                    shown[number] = byte
        return bytes(shown)
