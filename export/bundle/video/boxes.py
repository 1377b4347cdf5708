"""The boxes of an MP4 or MOV file (ISO 14496-12), found where FFmpeg looks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Boxes that may stand outside all others. Unknown ones, of cameras or of later editions, are skipped.
TOP = frozenset(
    b"ftyp styp moov moof mdat free skip wide pnot udta uuid meta sidx ssix mfra prft emsg pdin "
    b"imda meco mere bloc junk pict".split()
)
_PARENTS = frozenset(
    b"moov trak mdia minf dinf stbl mvex edts udta moof traf tref wave sinf schi ilst iprp ipco hoov".split()
)
_TABLES = re.compile(rb"stts|stsz|stz2|stsc|stco|co64|trun")
_HANDLER = re.compile(rb"(?:....)*?(?=....hdlr)", re.DOTALL)
_MAX_DEPTH = 10
# How much of a box is searched for boxes within that stand at no fixed place.
_SEARCHED = 1 << 20
_MAX_ENTRIES = 1024


@dataclass(frozen=True)
class Box:
    """One box: its type, how many boxes it is in, and where it starts, its body starts and it ends.

    ``end`` is what the box says of itself, which may lie beyond the file or the box around it.
    """

    kind: bytes
    depth: int
    start: int
    body: int
    end: int


class Boxes:
    """All boxes of a file that FFmpeg would read, a parent before its children.

    Which boxes hold others doesn't follow the standard: FFmpeg reads a table wherever it meets it.

    Args:
        source: the file.
        size: its length in bytes.
        in_free: look into free space for an index, as FFmpeg does where there is no other.
    """

    def __init__(self, source: BinaryIO, size: int, *, in_free: bool = False) -> None:
        self._source, self._size, self._in_free = source, size, in_free

    def __iter__(self) -> Iterator[Box]:
        return self._within(0, self._size, 0)

    def _within(self, start: int, end: int, depth: int) -> Iterator[Box]:
        while start + 8 <= end:
            self._source.seek(start)
            header = self._source.read(16)
            length, kind, body = int.from_bytes(header[:4], "big"), header[4:8], start + 8
            if length == 1:
                length, body = int.from_bytes(header[8:], "big"), start + 16
            elif length == 0:
                length = end - start
            stop = start + length
            if stop < body or (depth == 0 and stop > end and kind not in TOP):
                return
            yield Box(kind, depth, start, body, stop)
            if depth < _MAX_DEPTH:
                yield from self._children(kind, header[12:], body, min(stop, end), depth + 1)
            start = stop

    def _children(self, kind: bytes, first: bytes, body: int, end: int, depth: int) -> Iterator[Box]:
        if kind in _PARENTS or (self._in_free and kind == b"free" and first in (b"mvhd", b"cmov")):
            yield from self._within(body, end, depth)
        elif kind == b"iref":
            yield from self._within(body + 4, end, depth)
        elif kind == b"meta":
            # Its head differs between MP4 and MOV.
            self._source.seek(body)
            found = _HANDLER.match(self._source.read(min(end - body, _SEARCHED)))
            if found is not None:
                yield from self._within(body + found.end(), end, depth)
        elif kind == b"stsd":
            yield from self._described(body + 8, end, depth)

    def _described(self, start: int, end: int, depth: int) -> Iterator[Box]:
        """Tables inside of sample descriptions, whose heads are of many lengths and which may end beyond their box."""
        for _ in range(_MAX_ENTRIES):
            self._source.seek(start)
            length = int.from_bytes(self._source.read(4), "big")
            if length < 8 or start >= end:
                return
            data = self._source.read(min(length - 4, self._size - start, _SEARCHED))
            for found in _TABLES.finditer(data, 4):
                box = start + found.start()
                yield Box(
                    found.group(), depth, box, box + 8, box + int.from_bytes(data[found.start() - 4 :][:4], "big")
                )
            start += length
