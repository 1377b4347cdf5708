"""What a stream's packets tell before anything is decoded: how many frames, when, and where decoding can start."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from ..errors import InvalidVideo
from .access_units import AccessUnit, Reader, is_intra, reader
from .clock import NO_TIME, Int64s, last_step, steady
from .container import VideoFile
from .packets import Packets

_TRUSTED_CONTAINERS = ("mov", "matroska", "flv", "mpegts")

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrameTable:
    """Where each frame is, in the order in which they are shown; for streams with one picture per packet.

    Attributes:
        positions: int64 [N], places among the packets.
        pts: int64 [N], the frames' times, ascending.
        entries: int64 [E], the places at which decoding can start, ascending.
        entry_pts: int64 [E], the times from which frames are right where decoding starts there.
        disposable: bool [packets], no other frame refers to it.
    """

    positions: Int64s
    pts: Int64s
    entries: Int64s
    entry_pts: Int64s
    disposable: Bools

    def entries_of(self, frames: Sequence[int]) -> Int64s:
        """For each frame, by its number, the last place at which decoding can start to give it."""
        positions, times = self.positions[frames], self.pts[frames]
        places = np.searchsorted(self.entries, positions, side="right") - 1
        while np.any(late := (places > 0) & (self.entry_pts[places] > times)):
            places[late] -= 1
        entries: Int64s = self.entries[places]
        return entries


@dataclass(frozen=True)
class PacketIndex:
    """A stream's packets.

    Attributes:
        shown: how many frames they show if each holds one.
        announced: how many frames the file says it has: more than ``shown`` if it is truncated.
        span: from the first time to the last, in units of the stream's time base; None where times are missing.
        last_step: how long the last packet lasts, 0 where that isn't known.
        jumped: whether its clock jumped, so that the file's own account of how long it lasts is wrong.
        table: None where what they show is not sure.
    """

    packets: Packets
    shown: int
    announced: int
    span: int | None
    last_step: int
    jumped: bool
    table: FrameTable | None


def read_index(video: VideoFile, *, seeks: bool = False) -> PacketIndex:
    """Read a stream's packets without decoding them.

    Args:
        seeks: as of ``Packets``.

    Raises:
        InvalidVideo: no frames, or more packets or bytes than the limits allow.
    """
    read = _reader(video)
    packets, notes = Packets(video, seeks=seeks), _Notes()
    damaged, lasting = False, 0
    for packet in packets.read():
        damaged, lasting = packet.is_corrupt, packet.duration or 0
        # A palette holds for all that follows, so none may be left out on the way.
        if read is not None and (damaged or packet.has_sidedata("new_extradata") or packet.has_sidedata("palette")):
            read = None
        notes.add(packet.pts, packet.dts, packet.is_discard, None if read is None else read(packet))
    if damaged:
        packets.drop_last()
    base, container = video.stream.time_base or Fraction(1, 1000), video.container.format.name
    told = notes.times(packets.count)
    times = steady(told, notes.decoded(packets.count), base, container)
    packets.retime(times)
    step = last_step(lasting, times, base, container)
    discarded = notes.flags(packets.count, _DISCARDED)
    shown = int(np.sum(~discarded))
    if shown == 0 and not packets.cut:
        raise InvalidVideo("the file's video stream has no frames")
    announced = _announced(video, shown) if packets.cut else shown
    table = None
    if read is not None:
        table = notes.table(times, video.context.codec.canonical_name, video.context.extradata or b"")
    if table is not None:
        # What FFmpeg drops at the start is missing from both.
        announced, shown = announced - shown + len(table.pts), len(table.pts)
    seen = times[~discarded]
    known = len(seen) > 0 and np.min(seen) != NO_TIME
    span = int(np.max(seen) - np.min(seen)) if known else None
    jumped = step != lasting or not np.array_equal(times, told)
    return PacketIndex(packets, shown, announced, span, step, jumped, table)


def _reader(video: VideoFile) -> Reader | None:
    name, codec = video.container.format.name.split(",")[0], video.context.codec.canonical_name
    if name not in _TRUSTED_CONTAINERS and not (name == "avi" and is_intra(codec)):
        return None
    return reader(codec, video.context.extradata)


def _announced(video: VideoFile, readable: int) -> int:
    """How many frames a truncated file was to have: what its tables say, or its duration times its rate."""
    stream, container = video.stream, video.container
    # An MP4's sample count includes samples that an edit list leaves out, its index doesn't.
    indexed = sum(not entry.is_discard for entry in stream.index_entries)
    listed = indexed if container.format.name.startswith("mov") else stream.frames
    seconds = 0.0
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    return max(readable, listed, round(seconds * float(stream.average_rate or 0)))


_DISCARDED, _ENTRY, _START, _DISPOSABLE, _LEADING, _SEVERED, _LAST = (1 << bit for bit in range(7))


class _Notes:
    """What is kept of every packet: a million of them must not take a server's memory."""

    def __init__(self) -> None:
        self._pts, self._dts, self._flags = array("q"), array("q"), bytearray()
        self._sets: dict[int, AccessUnit] = {}

    def add(self, pts: int | None, dts: int | None, discarded: bool, unit: AccessUnit | None) -> None:
        flags = _DISCARDED if discarded else 0
        if unit is not None:
            flags |= (
                _ENTRY * unit.entry
                | _START * unit.start
                | _DISPOSABLE * unit.disposable
                | _LEADING * unit.leading
                | _SEVERED * unit.severed
                | _LAST * unit.last
            )
            if unit.sets:
                self._sets[len(self._flags)] = unit
        self._pts.append(NO_TIME if pts is None else pts)
        self._dts.append(NO_TIME if dts is None else dts)
        self._flags.append(flags)

    def times(self, count: int) -> Int64s:
        """When the first ``count`` packets say that they are shown, or decoded where only that is known."""
        pts = np.array(self._pts, np.int64)[:count]
        return np.where(pts == NO_TIME, self.decoded(count), pts)

    def decoded(self, count: int) -> Int64s:
        """When the first ``count`` packets say that they are decoded."""
        return np.array(self._dts, np.int64)[:count]

    def flags(self, count: int, flag: int) -> Bools:
        flagged: Bools = np.frombuffer(self._flags, np.uint8)[:count] & flag != 0
        return flagged

    def table(self, times: Int64s, codec: str, extradata: bytes) -> FrameTable | None:
        """The frames of the packets with these times; None if it isn't sure which are shown, or in which order."""
        count, entry = len(times), self.flags(len(times), _ENTRY)
        starts = np.flatnonzero(self.flags(count, _START))
        if len(starts) == 0 or not entry[starts[0]] or np.any(self.flags(count, _LAST)[:-1]):
            return None
        first = int(starts[0])
        orphaned = times < times[first] if codec == "h264" else self._severed(count, first)
        shown = np.flatnonzero(~self.flags(count, _DISCARDED) & ~orphaned & (np.arange(count) >= first))
        pts = times[shown]
        order = np.argsort(pts)
        if len(shown) == 0 or pts[order[0]] == NO_TIME or np.any(np.diff(pts[order]) == 0):
            return None
        entries = np.flatnonzero(entry & self._self_contained(count, first, extradata))
        return FrameTable(shown[order], pts[order], entries, times[entries], self.flags(count, _DISPOSABLE))

    def _severed(self, count: int, first: int) -> Bools:
        """Pictures that lead an entry and refer to what isn't there: FFmpeg drops them."""
        severed = np.zeros(count, np.bool_)
        drop = True
        for place, flags in enumerate(self._flags[first:count], first):
            if flags & _ENTRY:
                drop = place == first or bool(flags & _SEVERED)
            elif flags & _LEADING:
                severed[place] = drop
        return severed

    def _self_contained(self, count: int, first: int, extradata: bytes) -> Bools:
        """Whether a decoder that starts at a packet has the parameter sets that it would have had by then.

        Sets that come with a packet may differ from those in front; a packet that brings all of its own is as good.
        """
        good = np.arange(count) >= first
        known = set[bytes]()
        for place, unit in self._sets.items():
            fresh = [one for one in unit.sets if one not in known and one not in extradata]
            known.update(fresh)
            if fresh and first < place:
                good[place:] = False
        for place, unit in self._sets.items():
            if unit.complete and first < place < count:
                good[place] = True
        return good
