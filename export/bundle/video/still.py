"""What a still image says of itself in front: which format it is, its size, and how it is to be turned.

A still image is a video of one frame. FFmpeg's own formats for images of a sequence would look for further files; those
for pipes read one file, and by its first bytes it is known which of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import InvalidVideo
from .structure import Matrix, Structure, VideoTrack
from .work import Work

_PNG, _JPEG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"WEBP"
_EXIF, _ORIENTATION, _SHORT = b"Exif\0\0", 0x0112, 3
# Markers of JPEG: where pictures' sizes stand, where the first picture's data begin, and where it ends.
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1, _SCAN, _END = 0xE1, 0xDA, b"\xff\xd9"
# Parts that are looked at, and bytes of what is said of the picture.
_MOST_PARTS, _MOST_SAID, _BLOCK = 4096, 64 << 10, 1 << 20
_ONE = 1 << 16
# By Exif's orientation, what stands at places 0, 1, 3 and 4 of a display matrix; 1 is as it is.
_TURNS = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def read_still(source: BinaryIO, size: int, work: Work) -> Structure | None:
    """The structure of a PNG, JPEG or WebP file of ``size`` bytes; None if it is none of them.

    Raises:
        InvalidVideo: a picture that is over a limit, has no end, or moves.
    """
    source.seek(0)
    head = source.read(12)
    if head.startswith(_PNG):
        return _png(source, size, work)
    if head.startswith(_JPEG):
        return _jpeg(source, size, work)
    if head.startswith(_RIFF) and head[8:] == _WEBP:
        return _webp(source, size, work)
    return None


def _png(source: BinaryIO, size: int, work: Work) -> Structure:
    exif, ended = b"", False
    for kind, start, length in _chunks(source, len(_PNG), size, ">I4s", 4):
        work.spend()
        if kind == b"IHDR" and length >= 8:
            work.limits.check_frame(*struct.unpack(">II", _at(source, start, 8)))
        elif kind == b"eXIf":
            exif = _at(source, start, min(length, _MOST_SAID))
        elif kind == b"IEND":
            ended = True
            break
    return _structure("png_pipe", exif, whole=ended)


def _webp(source: BinaryIO, size: int, work: Work) -> Structure:
    exif, told = b"", int.from_bytes(_at(source, 4, 4), "little")
    for kind, start, length in _chunks(source, 12, min(size, told + 8), "<4sI", 0):
        work.spend()
        said = _at(source, start, 10).ljust(10, b"\0")
        if kind == b"VP8X":
            width, height = (1 + int.from_bytes(said[place : place + 3], "little") for place in (4, 7))
            work.limits.check_frame(width, height)
        elif kind == b"VP8 ":
            width, height = struct.unpack("<HH", said[6:])
            work.limits.check_frame(width & 0x3FFF, height & 0x3FFF)
        elif kind == b"VP8L":
            bits = int.from_bytes(said[1:5], "little")
            work.limits.check_frame(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        elif kind == b"ANIM":
            raise InvalidVideo("the file is an animated WebP, which is not read: convert it to a video or to a PNG")
        elif kind == b"EXIF":
            exif = _at(source, start, min(length, _MOST_SAID)).removeprefix(_EXIF)
    return _structure("webp_pipe", exif, whole=told + 8 <= size)


def _jpeg(source: BinaryIO, size: int, work: Work) -> Structure:
    exif, place = b"", 2
    for _ in range(_MOST_PARTS):
        work.spend()
        head = _at(source, place, 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker == 0xFF:
            # One of several before a marker.
            place += 1
            continue
        if marker == _SCAN:
            return _structure("jpeg_pipe", exif, whole=_ends(source, place + 2 + length, size, work))
        if marker in _SIZES:
            height, width = struct.unpack(">HH", _at(source, place + 5, 4).ljust(4, b"\0"))
            work.limits.check_frame(width, height)
        elif marker == _APP1 and not exif:
            said = _at(source, place + 4, max(0, length - 2))
            exif = said.removeprefix(_EXIF) if said.startswith(_EXIF) else b""
        place += 2 + length
    return _structure("jpeg_pipe", exif, whole=False)


def _ends(source: BinaryIO, place: int, size: int, work: Work) -> bool:
    """Whether a picture's data have an end: what stands behind it, as phones write films there, is not looked at."""
    while place < size:
        work.spend()
        if _END in _at(source, place, _BLOCK):
            return True
        # It may lie across two blocks.
        place += _BLOCK - 1
    return False


def _chunks(source: BinaryIO, place: int, end: int, form: str, behind: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of each part of a PNG, or of a RIFF file, whose parts begin at even places."""
    for _ in range(_MOST_PARTS):
        head = _at(source, place, 8)
        if place + 8 > end or len(head) < 8:
            return
        first, second = struct.unpack(form, head)
        kind, length = (second, first) if isinstance(first, int) else (first, second)
        yield kind, place + 8, length
        place += 8 + length + (behind or length % 2)


def _at(source: BinaryIO, place: int, count: int) -> bytes:
    source.seek(place)
    return source.read(count)


def _structure(name: str, exif: bytes, *, whole: bool) -> Structure:
    if not whole:
        raise InvalidVideo("the file is truncated: the image's end is missing")
    return Structure(videos=(VideoTrack(_matrix(exif), False, {}),), still=name)


def _matrix(exif: bytes) -> Matrix | None:
    """The display matrix of an Exif block, a TIFF file of which one number is read; None where it says nothing."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
        if tag == _ORIENTATION and kind == _SHORT and value in _TURNS:
            across, tilt, lean, down = (_ONE * number for number in _TURNS[value])
            return (across, tilt, 0, lean, down, 0, 0, 0, 1 << 30)
    return None
