"""What the boxes of an MP4 or MOV file say of its tracks, and how many samples they announce."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import InvalidVideo
from .boxes import TOP, Box, Boxes
from .structure import Matrix, Structure, VideoTrack
from .work import Work

_MAX_BOXES = 1_000_000
# Of whatever kind; FFmpeg gives up at so many, too.
_MAX_TRACKS = 256
# Boxes between two looks at the time.
_STRIDE = 64
_MAX_DESCRIPTIONS = 16
_CHAPTERS = 1024
_ENCRYPTED = (b"encv", b"drmi")
_HANDLERS = frozenset((b"vide", b"soun", b"subt", b"sbtl", b"text", b"clcp", b"subp", b"meta", b"tmcd", b"hint"))
_ONE = 1 << 16
_IDENTITY = (_ONE, 0, 0, 0, _ONE, 0, 0, 0, 1 << 30)
_FRACTIONS = (16, 16, 30)
# The version of a header box whose times have 64 bits.
_LONG = b"\1"


@dataclass(eq=False)
class _Track:
    place: int = 0
    number: int = 0
    handler: bytes = b""
    encrypted: bool = False
    matrix: Matrix = _IDENTITY
    single_ticks: bool = False
    samples: int = 0
    chunks: int = 0
    # First chunk (from 1) and samples per chunk of each run of equal chunks, int64 [runs, 2].
    runs: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def entries(self) -> int:
        """The length of FFmpeg's index: every sample, or every 1024 of raw audio (samples of one tick)."""
        if not (self.handler == b"soun" and self.single_ticks):
            return self.samples
        lengths = np.abs(np.diff(self.runs[:, 0], append=self.chunks + 1))
        return int(np.sum(lengths * (self.runs[:, 1] // 1024 + 1)))


def read_mp4(source: BinaryIO, size: int, work: Work) -> Structure | None:
    """The structure of an MP4 or MOV file of ``size`` bytes; None if it is neither.

    Raises:
        InvalidVideo: no index, or more samples or video tracks than the limits allow.
    """
    reader = _Reader(source, size, work)
    reader.read(Boxes(source, size))
    if not reader.recognised:
        return None
    if not reader.indexed:
        reader.read(Boxes(source, size, in_free=True))
    if not reader.indexed:
        raise InvalidVideo("the file is truncated: its index, the moov box, is missing")
    tracks = reader.tracks[1:]
    videos = [track for track in tracks if track.handler == b"vide" and track.number not in reader.chapters]
    work.limits.check_packets(max(reader.fragmented, *(track.entries() for track in reader.tracks)))
    work.limits.check_streams(len(videos))
    others = [track for track in tracks if videos and track not in videos]
    return Structure(
        mp4=True,
        truncated=reader.truncated,
        videos=tuple(
            VideoTrack(track.matrix if track.matrix != _IDENTITY else None, track.encrypted, _mask(track))
            for track in videos
        ),
        mask={place: name for track in others for place, name in _mask(track).items()},
    )


def _mask(track: _Track) -> dict[int, bytes]:
    return {track.place + 4: b"free"}


class _Reader:
    def __init__(self, source: BinaryIO, size: int, work: Work) -> None:
        self._source, self._size, self._work = source, size, work
        self.recognised = self.indexed = self.truncated = False
        self.fragmented = 0
        # Tracks that hold pictures of chapters, or their titles.
        self.chapters: set[int] = set()
        self._movie: Matrix = _IDENTITY
        # The first is for what stands outside of all tracks.
        self.tracks = [_Track()]

    def read(self, found: Boxes) -> None:
        for number, box in enumerate(found):
            if number >= _MAX_BOXES:
                raise InvalidVideo(f"the file has more than {_MAX_BOXES} boxes")
            if box.depth == 0:
                self.recognised = self.recognised or box.kind in TOP
                self.truncated = self.truncated or box.end > self._size
            self._source.seek(box.body)
            self._take(box)
            if number % _STRIDE == 0:
                self._work.spend()

    def _take(self, box: Box) -> None:
        track, kind = self.tracks[-1], box.kind
        if kind in (b"moov", b"moof", b"mvhd"):
            self.indexed = True
            if kind == b"mvhd":
                self._movie = _matrix(self._source.read(84), 36)
        elif kind == b"trak":
            if len(self.tracks) > _MAX_TRACKS:
                raise InvalidVideo(f"the file has more than {_MAX_TRACKS} tracks: keep only the video to find")
            self.tracks.append(_Track(box.start))
        elif kind == b"tkhd":
            head = self._source.read(88)
            track.number = int.from_bytes(head[20:24] if head[:1] == _LONG else head[12:16], "big")
            track.matrix = _product(_matrix(head, 40), self._movie)
        elif kind == b"hdlr":
            handler = self._source.read(12)[8:]
            # A QuickTime track has a second handler, for where its data is.
            if handler in _HANDLERS:
                track.handler = handler
        elif kind == b"stsd":
            track.encrypted = self._encrypted(box)
        elif kind == b"stts":
            table = self._source.read(16)
            track.single_ticks = table[4:8] == table[12:] == b"\0\0\0\1"
        elif kind in (b"stsz", b"stz2"):
            track.samples = max(track.samples, self._number(8))
        elif kind in (b"stco", b"co64"):
            track.chunks = self._number(4)
        elif kind == b"stsc":
            table = self._source.read(max(0, min(box.end, self._size) - box.body))[8:]
            rows = np.frombuffer(table[: len(table) // 12 * 12], ">u4").reshape(-1, 3)
            track.runs = rows[:, :2].astype(np.int64)
        elif kind == b"chap":
            numbers = self._source.read(min(box.end - box.body, _CHAPTERS))
            self.chapters.update(struct.unpack(f">{len(numbers) // 4}I", numbers[: len(numbers) // 4 * 4]))
        elif kind == b"trun":
            self.fragmented += self._number(4)
        elif kind == b"cmov":
            raise InvalidVideo("the file has a compressed QuickTime index: convert it to MP4")

    def _encrypted(self, box: Box) -> bool:
        """Whether any of a track's sample descriptions is of encrypted video."""
        place = box.body + 8
        for _ in range(_MAX_DESCRIPTIONS):
            self._source.seek(place)
            head = self._source.read(8)
            if place + 8 > box.end or len(head) < 8:
                break
            if head[4:] in _ENCRYPTED:
                return True
            place += max(8, int.from_bytes(head[:4], "big"))
        return False

    def _number(self, place: int) -> int:
        return int.from_bytes(self._source.read(place + 4)[place:], "big")


def _matrix(head: bytes, place: int) -> Matrix:
    """The matrix of a header box, which stands 12 bytes later where the header's times have 64 bits."""
    start = place + 12 * (head[:1] == _LONG)
    return struct.unpack(">9i", head[start : start + 36].ljust(36, b"\0"))


def _product(track: Matrix, movie: Matrix) -> Matrix:
    """A track's matrix, then the movie's: the one by which its pictures are shown."""
    return tuple(
        sum(track[3 * row + k] * movie[3 * k + column] >> _FRACTIONS[k] for k in range(3))
        for row in range(3)
        for column in range(3)
    )
