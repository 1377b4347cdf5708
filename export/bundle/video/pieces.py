"""A film cut into files of some of its segments each, without decoding or encoding anything: its packets are copied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from io import BytesIO

import av
import numpy as np

from ..errors import InvalidVideo
from ..segments import Cutting, Segment
from .container import VideoFile, open_video
from .file_piece import FilePiece
from .packet_index import FrameTable, PacketIndex, read_index
from .part import Part, Piece, check_spacing, frames_within
from .seconds import rate_of, seconds_of
from .source import Source
from .work import Work

# What a file has beside the packets, and the containers in which their times are kept exactly.
_HEAD_SHARE, _HEAD_BYTES = 1.02, 64 << 10
_FORMATS = {"mov": "mp4", "matroska": "matroska", "mpegts": "mpegts", "flv": "flv"}
_SAFEST = "matroska"
_REFUSED = (
    "the film is larger than one upload, and its packets don't tell where it can be cut: convert it to H.264 in an MP4"
)


def pieces(
    source: Source, cutting: Cutting, draft: str, most: int, cuts: Sequence[float], work: Work
) -> Iterator[FilePiece]:
    """The segments of a film in files of at most ``most`` bytes.

    A file begins with the entry from which the first frame of its first segment can be decoded. Its frames are told by
    their places in the order of display, as the file itself has them: it is opened again and compared. All of this is
    in this process: ``cutting.pieces`` has another do it, which no file can harm.

    Args:
        source: the film's path or content.
        draft: a word for all of them.
        cuts: where shots begin, if segments begin there.
        work: counts the time that it takes.

    Raises:
        InvalidVideo: the film can't be read, can't be cut so, or takes too long.
    """
    with open_video(source, work) as video:
        index = read_index(video, seeks=True)
        if (table := index.table) is None:
            raise InvalidVideo(_REFUSED)
        yield from _Cutter(video, index, table, cutting, draft, most, cuts).pieces()


class _Cutter:
    def __init__(
        self,
        video: VideoFile,
        index: PacketIndex,
        table: FrameTable,
        cutting: Cutting,
        draft: str,
        most: int,
        cuts: Sequence[float],
    ) -> None:
        self._video, self._index, self._table = video, index, table
        self._cutting, self._draft, self._most = cutting, draft, most
        self._seconds, step = seconds_of(video, index, table.pts.tolist())
        self._duration, self._rate = float(self._seconds[-1]) + step, rate_of(video, index)
        check_spacing(cutting, len(self._seconds), self._duration)
        self._windows = cutting.windows(self._duration, cuts)
        self._ends = np.concatenate([[0], np.cumsum(index.packets.sizes)])
        # Of every packet, which frame it shows.
        self._shows = np.full(index.packets.count, -1)
        self._shows[table.positions] = np.arange(len(table.positions))

    def pieces(self) -> Iterator[FilePiece]:
        spans = [self._span(number) for number in range(len(self._windows))]
        first = 0
        while first < len(spans):
            begin, last = spans[first]
            after = first + 1
            while after < len(spans):
                further = min(begin, spans[after][0]), max(last, spans[after][1])
                if self._bytes(*further) > self._most:
                    break
                (begin, last), after = further, after + 1
            if self._bytes(begin, last) > self._most:
                start, end = self._windows[first]
                raise InvalidVideo(
                    f"the film from {start:.1f} to {end:.1f} s has {self._bytes(begin, last)} bytes, an upload at most "
                    f"{self._most}: make its segments shorter, or its key frames more frequent"
                )
            yield self._piece(range(first, after), begin, last)
            first = after

    def _frames(self, number: int) -> range:
        return range(*frames_within(self._seconds, *self._windows[number]))

    def _span(self, number: int) -> tuple[int, int]:
        """The first and the last packet that a segment needs."""
        frames = self._frames(number)
        return int(self._table.entries_of(frames).min()), int(self._table.positions[frames].max())

    def _bytes(self, begin: int, last: int) -> int:
        return math.ceil((int(self._ends[last + 1]) - int(self._ends[begin])) * _HEAD_SHARE) + _HEAD_BYTES

    def _piece(self, numbers: range, begin: int, last: int) -> FilePiece:
        own = _FORMATS.get(self._video.container.format.name.split(",")[0], _SAFEST)
        for container in dict.fromkeys((own, _SAFEST)):
            data = self._copied(container, begin, last)
            if (parts := self._parts(data, numbers, begin)) is not None:
                return FilePiece(data, parts)
        raise InvalidVideo(_REFUSED)

    def _copied(self, container: str, begin: int, last: int) -> bytes:
        """The packets from ``begin`` to ``last`` as a file."""
        out = BytesIO()
        with av.open(out, "w", format=container) as file:
            stream = file.add_stream_from_template(self._video.stream)
            stream.time_base = self._video.stream.time_base
            for place, packet in self._index.packets.since(begin):
                if place > last:
                    break
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.duration, copy.is_keyframe = packet.duration or 0, packet.is_keyframe
                copy.stream = stream
                file.mux(copy)
        return out.getvalue()

    def _parts(self, data: bytes, numbers: range, begin: int) -> list[Part] | None:
        """What the file has, as whoever decodes it will see it; None where that is not what the film has."""
        try:
            with open_video(data, self._video.work) as video:
                table = read_index(video).table
        except InvalidVideo:
            return None
        if table is None:
            return None
        # Of the film's packets, by their places, which of the file's frames they show.
        shown = {int(position) + begin: place for place, position in enumerate(table.positions)}
        earliest = int(self._shows[int(table.positions[0]) + begin])
        if earliest < 0:
            return None
        offset, found = float(self._seconds[earliest]), []
        for number in numbers:
            places = [shown.get(int(self._table.positions[frame])) for frame in self._frames(number)]
            first = places[0]
            if first is None or places != list(range(first, first + len(places))):
                return None
            piece = Piece(
                offset, self._duration, self._rate, len(shown), first, first + len(places), self._video.matrix
            )
            segment = Segment(number, len(self._windows), *self._windows[number])
            found.append(Part(number, self._draft, self._cutting, segment, piece))
        return found
