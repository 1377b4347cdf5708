"""The packets of a video stream, as often as they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import av
from av.packet import Packet
from av.video.stream import VideoStream

from .clock import Int64s
from .container import VideoFile

# Packets of this many bytes in all are kept; those of a larger file are read again each time.
_KEPT_BYTES = 32 << 20
VideoPacket: TypeAlias = "Packet[VideoStream]"


class Packets:
    """The packets of a video's stream in the order of decoding, without those that hold nothing.

    Attributes:
        count: how many there are, once ``read`` has come to its end.
        cut: whether reading ended before the stream did.
    """

    def __init__(self, video: VideoFile) -> None:
        self._video = video
        self._kept: list[VideoPacket] | None = []
        self._live: Iterator[VideoPacket] = iter(())
        self._place = 0
        self._times: Int64s | None = None
        self.count = 0
        self.cut = video.truncated

    def read(self) -> Iterator[VideoPacket]:
        """Read all of them for the first time.

        Raises:
            InvalidVideo: more packets, or more bytes, than the limits allow.
        """
        limits, size = self._video.work.limits, 0
        for packet in self._demux(again=False):
            self.count += 1
            limits.check_packets(self.count)
            # A sample table may name the same bytes again and again.
            size += packet.size
            limits.check_bytes(size)
            if size > _KEPT_BYTES:
                self._kept = None
            if self._kept is not None:
                self._kept.append(packet)
            self._video.work.spend()
            yield packet
        self._place = self.count

    def drop_last(self) -> None:
        """Leave out the last packet, which is damaged."""
        self.count -= 1
        self.cut = True

    def retime(self, times: Int64s) -> None:
        """Let packets be shown at other times, int64 [count], than they say; those without a time stay so."""
        self._times = times

    def since(self, first: int) -> Iterator[tuple[int, VideoPacket]]:
        """The packets from a place on, each with its place. Ends the last call's packets."""
        if self._kept is not None:
            for place, packet in enumerate(self._kept[first : self.count], first):
                yield place, self._retimed(place, packet)
            return
        if first < self._place:
            self._live, self._place = self._demux(again=True), 0
        for packet in self._live:
            place, self._place = self._place, self._place + 1
            self._video.work.spend()
            if place >= first:
                yield place, self._retimed(place, packet)
            if self._place >= self.count:
                return

    def _retimed(self, place: int, packet: VideoPacket) -> VideoPacket:
        if self._times is not None and packet.pts is not None:
            packet.pts = int(self._times[place])
        return packet

    def _demux(self, *, again: bool) -> Iterator[VideoPacket]:
        try:
            for packet in self._video.demux(again=again):
                # A stream ends with an empty packet, but an AVI also has one for each frame it leaves out, and to a
                # decoder an empty packet is the end.
                if packet.size:
                    yield packet
        except MemoryError:
            raise
        except IndexError:
            # The end: PyAV, as it flushes, trips over streams that the file brought after it was opened.
            return
        except av.FFmpegError:
            self.cut = True
