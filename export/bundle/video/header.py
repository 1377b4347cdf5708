"""A look at a video file's own structure before FFmpeg reads it.

FFmpeg trusts an MP4's sample counts: for a file of 4 kB that announces a hundred million samples it takes
gigabytes. And it reads a truncated file as far as that goes, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import InvalidVideo
from .limits import VideoLimits

_TOP_BOXES = frozenset(
    b"ftyp styp moov moof mdat free skip wide pnot udta uuid meta sidx ssix mfra prft emsg pdin".split()
)
_PARENT_BOXES = frozenset(b"moov trak mdia minf stbl mvex edts udta moof traf".split())
_MAX_BOXES = 300_000
_MAX_DEPTH = 10

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass
class _Track:
    sound: bool = False
    single_ticks: bool = False
    samples: int = 0
    chunks: int = 0
    # First chunk (from 1) and samples per chunk of each run of equal chunks, int64 [runs, 2].
    runs: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def entries(self) -> int:
        """The length of FFmpeg's index: every sample, or every 1024 of raw audio (samples of one tick)."""
        if not (self.sound and self.single_ticks):
            return self.samples
        lengths = np.abs(np.diff(self.runs[:, 0], append=self.chunks + 1))
        return int(np.sum(lengths * (self.runs[:, 1] // 1024 + 1)))


def is_truncated(source: BinaryIO, size: int, limits: VideoLimits) -> bool:
    """Whether a file of ``size`` bytes ends before its structure says; known for MP4, MOV, Matroska and WebM.

    Raises:
        InvalidVideo: an MP4 or MOV without its index or with more samples than ``limits.max_packets``.
    """
    source.seek(0)
    head = source.read(8)
    if head[4:] in _TOP_BOXES:
        return _check_boxes(source, size, limits)
    if head[:4] == _EBML:
        return _segment_end(source) > size
    return False


def _check_boxes(source: BinaryIO, size: int, limits: VideoLimits) -> bool:
    tracks = [_Track()]
    fragmented = 0
    indexed = truncated = False
    for number, (depth, kind, body, stop) in enumerate(_boxes(source, 0, size, 0)):
        if number >= _MAX_BOXES:
            raise InvalidVideo(f"the file has more than {_MAX_BOXES} boxes")
        truncated = truncated or (depth == 0 and stop > size)
        indexed = indexed or kind in (b"moov", b"moof")
        source.seek(body)
        if kind == b"trak":
            tracks.append(_Track())
        elif kind == b"hdlr":
            handler = source.read(12)[8:]
            # A QuickTime track has a second handler, for where its data is.
            if handler in (b"soun", b"vide"):
                tracks[-1].sound = handler == b"soun"
        elif kind == b"stts":
            table = source.read(16)
            tracks[-1].single_ticks = table[4:8] == table[12:] == b"\0\0\0\1"
        elif kind in (b"stsz", b"stz2"):
            tracks[-1].samples = int.from_bytes(source.read(12)[8:], "big")
        elif kind in (b"stco", b"co64"):
            tracks[-1].chunks = int.from_bytes(source.read(8)[4:], "big")
        elif kind == b"stsc":
            table = source.read(max(0, min(stop, size) - body))[8:]
            rows = np.frombuffer(table[: len(table) // 12 * 12], ">u4").reshape(-1, 3)
            tracks[-1].runs = rows[:, :2].astype(np.int64)
        elif kind == b"trun":
            fragmented += int.from_bytes(source.read(8)[4:], "big")
        elif kind == b"cmov":
            raise InvalidVideo("the file has a compressed QuickTime index: convert it to MP4")
    if not indexed:
        raise InvalidVideo("the file is truncated: its index, the moov box, is missing")
    limits.check_packets(max(fragmented, *(track.entries() for track in tracks)))
    return truncated


def _boxes(source: BinaryIO, start: int, end: int, depth: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Depth, type, start of the body and end of each box, a parent before its children."""
    while start + 8 <= end:
        source.seek(start)
        header = source.read(16)
        length, kind, body = int.from_bytes(header[:4], "big"), header[4:8], start + 8
        if length == 1:
            length, body = int.from_bytes(header[8:], "big"), start + 16
        elif length == 0:
            length = end - start
        stop = start + length
        if stop < body or (depth == 0 and kind not in _TOP_BOXES):
            return
        yield depth, kind, body, stop
        if kind in _PARENT_BOXES and depth < _MAX_DEPTH:
            yield from _boxes(source, body, min(stop, end), depth + 1)
        start = stop


def _segment_end(source: BinaryIO) -> int:
    """Where a Matroska file's segment ends, 0 where it doesn't say, as in a live recording."""
    source.seek(4)
    length = _vint(source)
    # A header of some 40 bytes comes first.
    if length is None or length > 4096 or source.read(length + 4)[length:] != _SEGMENT:
        return 0
    length = _vint(source)
    return 0 if length is None else source.tell() + length


def _vint(source: BinaryIO) -> int | None:
    """A length as EBML writes it; None where it is unknown (all ones) or not there."""
    first = int.from_bytes(source.read(1), "big")
    width = 9 - first.bit_length()
    if width > 8:
        return None
    rest = source.read(width - 1)
    mask = (1 << 7 * width) - 1
    value = int.from_bytes(bytes([first]) + rest, "big") & mask
    return None if value == mask or len(rest) < width - 1 else value
