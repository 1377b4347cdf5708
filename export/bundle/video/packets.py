"""The packets of a video stream, as often as they are wanted."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from typing import TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from .clock import NO_TIME, Int64s
from .container import VideoFile

# Packets of this many bytes in all are kept; those of a larger file are read again each time.
_KEPT_BYTES = 32 << 20
# Packets that are rather read than looked for, and those that are looked at where a search in the file ends.
_NEAR, _LOOKED_AT = 300, 3000
VideoPacket: TypeAlias = "Packet[VideoStream]"


class Packets:
    """The packets of a video's stream in the order of decoding, without those that hold nothing.

    Attributes:
        count: how many there are, once ``read`` has come to its end.
        sizes: their bytes, where ``seeks``; the last one's too, if that was dropped.
        cut: whether reading ended before the stream did.

    Args:
        seeks: whoever wants packets far from the last ones has them looked for, instead of reading all before them.
    """

    def __init__(self, video: VideoFile, *, seeks: bool = False) -> None:
        self._video = video
        self._kept: list[VideoPacket] | None = []
        self._live: Iterator[VideoPacket] = iter(())
        self._place = 0
        self._spots: tuple[array[int], array[int]] | None = (array("q"), array("q")) if seeks else None
        self._sought: tuple[InputContainer, VideoStream] | None = None
        self._times: Int64s | None = None
        self.count = 0
        self.sizes = array("q")
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
            if self._spots is not None:
                time = packet.dts if packet.dts is not None else packet.pts
                self._spots[0].append(NO_TIME if time is None else time)
                self._spots[1].append(-1 if packet.pos is None else packet.pos)
                self.sizes.append(packet.size)
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
        far = not 0 <= first - self._place <= _NEAR
        if far and self._seek(first):
            pass
        elif first < self._place:
            self._sought = None
            self._live, self._place = self._demux(again=True), 0
        for packet in self._live:
            place, self._place = self._place, self._place + 1
            self._video.work.spend()
            if place >= first:
                yield place, self._retimed(place, packet)
            if self._place >= self.count:
                return

    def _seek(self, first: int) -> bool:
        """Go on with the packet at a place, which its own place in the file tells; False where it isn't found."""
        if self._spots is None or self._spots[0][first] == NO_TIME or self._spots[1][first] < 0:
            return False
        time, spot = (spots[first] for spots in self._spots)
        try:
            self._sought = self._sought or self._video.reopened()
            container, stream = self._sought
            container.seek(time, stream=stream)
            packets = container.demux(stream)
            for packet in itertools.islice(packets, _LOOKED_AT):
                self._video.work.spend()
                if packet.size and packet.pos == spot:
                    self._live = itertools.chain([packet], (each for each in packets if each.size))
                    self._place = first
                    return True
        except MemoryError:
            raise
        except av.FFmpegError:
            pass
        self._sought = None
        self._live, self._place = self._demux(again=True), 0
        return False

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
