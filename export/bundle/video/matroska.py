"""What the front of a Matroska or WebM file says of its tracks."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .structure import Matrix, Structure, VideoTrack
from .work import Work

MAGIC = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER, _TRACKS, _TRACK = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
_TYPE, _CODEC, _VIDEO = 0x83, 0x86, 0xE0
_PROJECTION, _YAW, _PITCH, _ROLL = 0x7670, 0x7673, 0x7674, 0x7675
_ENCODINGS, _ENCODING, _ENCODING_TYPE = 0x6D80, 0x6240, 0x5033
_PARENTS = (_TRACKS, _TRACK, _VIDEO, _PROJECTION, _ENCODINGS, _ENCODING)
_VIDEO_TYPE, _ENCRYPTION = 1, 1
_FLOATS = {4: ">f", 8: ">d"}


@dataclass
class _Entry:
    kind: int = 0
    codec: int | None = None
    encrypted: bool = False
    angles: dict[int, float] = field(default_factory=dict)


def read_matroska(source: BinaryIO, size: int, work: Work) -> Structure | None:
    """The structure of a Matroska or WebM file of ``size`` bytes; None if it is neither.

    Raises:
        InvalidVideo: more video tracks than the limits allow.
    """
    source.seek(0)
    if source.read(4) != MAGIC:
        return None
    front = itertools.islice(_elements(source, 0, size), 8)
    segment = next((element for element in front if element[0] == _SEGMENT), None)
    entries: list[_Entry] = []
    if segment is not None:
        _read_tracks(source, segment[1], min(segment[2], size), entries, work)
    videos = [entry for entry in entries if entry.kind == _VIDEO_TYPE]
    work.limits.check_streams(len(videos))
    return Structure(
        mp4=False,
        truncated=segment is not None and segment[3] and segment[2] > size,
        videos=tuple(VideoTrack(_matrix(entry.angles), entry.encrypted, _mask(entry)) for entry in videos),
        mask={},
    )


def _mask(entry: _Entry) -> dict[int, bytes]:
    # FFmpeg opens no decoder for a codec without a name; without the track it would lose its place at every block.
    return {} if entry.codec is None else {entry.codec: b"-"}


def _read_tracks(source: BinaryIO, start: int, end: int, entries: list[_Entry], work: Work, depth: int = 0) -> None:
    for kind, body, stop, _ in _elements(source, start, end):
        work.spend()
        if kind == _CLUSTER:
            return
        source.seek(body)
        length = stop - body
        if kind == _TRACK:
            entries.append(_Entry())
        elif entries and kind == _TYPE:
            entries[-1].kind = int.from_bytes(source.read(min(length, 8)), "big")
        elif entries and kind == _CODEC:
            entries[-1].codec = body
        elif entries and kind == _ENCODING_TYPE:
            entries[-1].encrypted = int.from_bytes(source.read(min(length, 8)), "big") == _ENCRYPTION
        elif entries and kind in (_YAW, _PITCH, _ROLL) and length in _FLOATS:
            (entries[-1].angles[kind],) = struct.unpack(_FLOATS[length], source.read(length).ljust(length, b"\0"))
        if kind in _PARENTS and depth < len(_PARENTS):
            _read_tracks(source, body, min(stop, end), entries, work, depth + 1)


def _elements(source: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int, bool]]:
    """ID, start of the body, end and whether the end is known, of each element in a stretch of the file."""
    while start < end:
        source.seek(start)
        kind, length = _vint(source, marked=True), _vint(source)
        if kind is None:
            return
        body = source.tell()
        stop = end if length is None else body + length
        yield kind, body, stop, length is not None
        start = stop


def _vint(source: BinaryIO, *, marked: bool = False) -> int | None:
    """A number as EBML writes it: an ID, with the mark of its length, or a length, None where it is unknown."""
    first = int.from_bytes(source.read(1), "big")
    width = 9 - first.bit_length()
    if width > 8:
        return None
    rest = source.read(width - 1)
    mask = (1 << 7 * width) - 1
    value = int.from_bytes(bytes([first]) + rest, "big")
    if len(rest) < width - 1:
        return None
    if marked:
        return value
    return None if value & mask == mask else value & mask


def _matrix(angles: dict[int, float]) -> Matrix | None:
    """The display matrix of a projection's angles in degrees, as FFmpeg makes it: of its roll, and a yaw of 180."""
    yaw, pitch, roll = (angles.get(kind, 0.0) for kind in (_YAW, _PITCH, _ROLL))
    mirrored = abs(yaw) == 180.0
    if pitch or (yaw and not mirrored) or not math.isfinite(roll) or not (roll or mirrored):
        return None
    turn = math.radians(-roll if mirrored else roll)
    across = -1 if mirrored else 1
    cosine, sine = int(math.cos(turn) * 65536), int(math.sin(turn) * 65536)
    return (across * cosine, -sine, 0, across * sine, cosine, 0, 0, 0, 1 << 30)
