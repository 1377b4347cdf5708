"""Decoding chosen frames of a stream: the short way where the packets allow it, else from start to end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import av
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .limits import VideoLimits
from .packet_index import FrameTable, PacketIndex
from .resizing import Pixels

Take = Callable[[VideoFrame], Pixels]


@dataclass
class Decoded:
    """What decoding from start to end gave: how many frames, their times, errors, and the chosen pictures."""

    times: list[int | None] = field(default_factory=list)
    errors: int = 0
    pictures: dict[int, Pixels] = field(default_factory=dict)


def decode_chosen(
    context: VideoCodecContext,
    index: PacketIndex,
    table: FrameTable,
    chosen: Iterable[int],
    take: Take,
    limits: VideoLimits,
) -> dict[int, Pixels] | None:
    """Decode frames by their places in the order of presentation, starting at the nearest entry before each.

    Frames that nothing refers to and nobody chose are not decoded at all.

    Returns:
        The pictures by place, or None where the decoder's frames are not what the packets promised.

    Raises:
        InvalidVideo: over ``limits``.
    """
    runs = _runs(table, sorted(set(chosen)))
    limits.check_work(sum(run.last - run.entry + 1 for run in runs), context.width, context.height)
    pictures: dict[int, Pixels] = {}
    for run in runs:
        wanted = {int(table.pts[place]): place for place in run.places}
        needed = {int(table.positions[place]) for place in run.places}
        context.flush_buffers()
        for packet in _feed(index, table, run.entry, needed):
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                return None
            for frame in frames:
                if frame.interlaced_frame:
                    # Its two fields may have come as two packets.
                    return None
                place = wanted.pop(frame.pts, None) if frame.pts is not None else None
                if place is not None:
                    pictures[place] = take(frame)
            if not wanted:
                break
        if wanted:
            return None
    return pictures


def decode_all(
    context: VideoCodecContext, index: PacketIndex, chosen: Iterable[int], take: Take, limits: VideoLimits
) -> Decoded:
    """Decode a stream from start to end, skipping packets that can't be decoded, and keep the chosen frames.

    Raises:
        InvalidVideo: over ``limits``.
    """
    limits.check_work(len(index.packets), context.width, context.height)
    wanted = set(chosen)
    decoded = Decoded()
    context.flush_buffers()
    for packet in (*index.packets, None):
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            decoded.errors += 1
            continue
        for frame in frames:
            if len(decoded.times) in wanted:
                decoded.pictures[len(decoded.times)] = take(frame)
            decoded.times.append(frame.pts)
    return decoded


@dataclass
class _Run:
    entry: int
    last: int
    places: list[int]


def _runs(table: FrameTable, chosen: Sequence[int]) -> list[_Run]:
    """The stretches of packets to decode: a chosen frame opens a new one only if that skips packets."""
    runs: list[_Run] = []
    for place in chosen:
        position = int(table.positions[place])
        entry = int(table.entries[np.searchsorted(table.entries, position, side="right") - 1])
        if runs and entry <= runs[-1].last + 1:
            runs[-1].last = max(runs[-1].last, position)
            runs[-1].places.append(place)
        else:
            runs.append(_Run(entry, position, [place]))
    return runs


def _feed(index: PacketIndex, table: FrameTable, entry: int, needed: set[int]) -> Iterator[Packet[VideoStream] | None]:
    """The packets from an entry on, without those that can be left out; None, the end, after the last."""
    for position in range(entry, len(index.packets)):
        if position in needed or not table.disposable[position]:
            yield index.packets[position]
    yield None
