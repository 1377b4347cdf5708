"""The packets of a video stream: how many frames they show, when, and where decoding can start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.stream import VideoStream

from ..errors import InvalidVideo
from . import access_units
from .container import VideoFile
from .limits import VideoLimits

_TRUSTED_CONTAINERS = ("mov", "matroska")


@dataclass(frozen=True)
class FrameTable:
    """Where each frame is, in the order in which they are shown; for streams with one picture per packet.

    ``positions`` int64 [N] are places in the list of packets and ``pts`` int64 [N] the frames' times, ascending.
    ``entries`` int64 [E] are the places where decoding can start and gives the frames that it gives from the start; the
    first is 0. ``disposable`` bool [packets]: no other frame refers to it.
    """

    positions: npt.NDArray[np.int64]
    pts: npt.NDArray[np.int64]
    entries: npt.NDArray[np.int64]
    disposable: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PacketIndex:
    """A stream's packets in the order of decoding.

    ``shown`` is how many frames they show if each holds one; ``table`` is None where that is not sure.
    """

    packets: Sequence[Packet[VideoStream]]
    shown: int
    table: FrameTable | None


def read_index(video: VideoFile, limits: VideoLimits) -> tuple[PacketIndex, int]:
    """Read a stream's packets without decoding them.

    Returns:
        The index of what is there, and how many frames the file announces: more than that if it is truncated.

    Raises:
        InvalidVideo: more packets than ``limits.max_packets``, more bytes than ``limits.max_bytes``, or none.
    """
    packets: list[Packet[VideoStream]] = []
    size = 0
    cut = video.truncated
    try:
        for packet in video.container.demux(video.stream):
            # A stream ends with an empty packet, but an AVI also has one for each frame it leaves out, and to
            # a decoder an empty packet is the end.
            if packet.size:
                packets.append(packet)
                limits.check_packets(len(packets))
                # A sample table may name the same bytes again and again.
                size += packet.size
                limits.check_bytes(size)
    except av.FFmpegError:
        cut = True
    if packets and packets[-1].is_corrupt:
        packets.pop()
        cut = True
    shown = sum(not packet.is_discard for packet in packets)
    if shown == 0 and not cut:
        raise InvalidVideo("the file's video stream has no frames")
    announced = _announced(video, shown) if cut else shown
    return PacketIndex(packets, shown, _table(video, packets)), announced


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


def _table(video: VideoFile, packets: Sequence[Packet[VideoStream]]) -> FrameTable | None:
    context = video.stream.codec_context
    read = access_units.reader(context.codec.canonical_name, context.extradata)
    trusted = video.container.format.name.split(",")[0] in _TRUSTED_CONTAINERS
    if read is None or not trusted:
        return None
    if not packets or any(packet.is_corrupt or packet.has_sidedata("new_extradata") for packet in packets):
        return None
    if any(packet.pts is None for packet in packets if not packet.is_discard):
        return None
    units = [read(packet) for packet in packets]
    if not units[0].fresh or any(unit.resets and not unit.fresh for unit in units):
        return None
    shown = np.array([place for place, packet in enumerate(packets) if not packet.is_discard], dtype=np.int64)
    pts = np.array([packets[place].pts for place in shown], dtype=np.int64)
    order = np.argsort(pts)
    if np.any(np.diff(pts[order]) == 0):
        return None
    fresh = np.array([place for place, unit in enumerate(units) if unit.fresh], dtype=np.int64)
    return FrameTable(
        positions=shown[order],
        pts=pts[order],
        entries=fresh[_separates(fresh, shown, pts)],
        disposable=np.array([unit.disposable for unit in units]),
    )


def _separates(
    places: npt.NDArray[np.int64], shown: npt.NDArray[np.int64], pts: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """For each place among the packets, whether all frames decoded before it are shown before all others."""
    ends = np.iinfo(np.int64)
    before = np.maximum.accumulate(np.concatenate([[ends.min], pts]))
    after = np.minimum.accumulate(np.concatenate([pts, [ends.max]])[::-1])[::-1]
    first = np.searchsorted(shown, places)
    separates: npt.NDArray[np.bool_] = before[first] < after[first]
    return separates
