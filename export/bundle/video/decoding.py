"""Decoding chosen frames of a stream: the short way where the packets allow it, else from start to end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from .access_units import is_intra
from .packet_index import FrameTable, PacketIndex
from .packets import VideoPacket
from .resizing import Pixels
from .work import Work

Take = Callable[[VideoFrame], Pixels]


@dataclass
class Decoded:
    """What decoding from start to end gave: how many frames, their times, errors, and the chosen pictures."""

    times: list[int | None] = field(default_factory=list)
    errors: int = 0
    pictures: dict[int, Pixels] = field(default_factory=dict)


def decode_chosen(
    context: VideoCodecContext, index: PacketIndex, table: FrameTable, chosen: Iterable[int], take: Take, work: Work
) -> dict[int, Pixels] | None:
    """Decode frames by their places in the order of presentation, starting at the nearest entry before each.

    Frames that nothing refers to and nobody chose are not decoded at all.

    Returns:
        The pictures by place, or None where the decoder's frames are not what the packets promised.

    Raises:
        InvalidVideo: more work than the limit.
    """
    runs = _runs(table, sorted(set(chosen)))
    work.plan(sum(_length(table, run) for run in runs) * _pixels(context))
    # Two fields may come as two packets; but each picture of these codecs is whole.
    whole = is_intra(context.codec.canonical_name)
    pictures: dict[int, Pixels] = {}
    for run in runs:
        wanted = {int(table.pts[place]): place for place in run.places}
        start = int(table.entry_pts[table.entries.searchsorted(run.entry)])
        context.flush_buffers()
        for packet in _feed(index, table, run):
            try:
                frames = context.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError:
                # What leads an entry may refer to what comes before it.
                if packet is None or packet.pts is None or packet.pts >= start:
                    return None
                continue
            work.spend(_pixels(context))
            for frame in frames:
                if frame.interlaced_frame and not whole:
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
    context: VideoCodecContext, index: PacketIndex, chosen: Iterable[int], take: Take, work: Work
) -> Decoded:
    """Decode a stream from start to end, skipping packets that can't be decoded, and keep the chosen frames.

    Raises:
        InvalidVideo: more work than the limit.
    """
    work.plan(index.packets.count * _pixels(context))
    wanted = set(chosen)
    decoded = Decoded()
    context.flush_buffers()
    for packet in _all(index):
        try:
            frames = context.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            decoded.errors += 1
            continue
        finally:
            work.spend(_pixels(context))
        for frame in frames:
            if len(decoded.times) in wanted:
                decoded.pictures[len(decoded.times)] = take(frame)
            decoded.times.append(frame.pts)
    return decoded


def _pixels(context: VideoCodecContext) -> int:
    return max(1, context.width * context.height)


def _all(index: PacketIndex) -> Iterator[VideoPacket | None]:
    for _, packet in index.packets.since(0):
        yield packet
    yield None


@dataclass
class _Run:
    entry: int
    last: int
    places: list[int]


def _runs(table: FrameTable, chosen: Sequence[int]) -> list[_Run]:
    """The stretches of packets to decode: a chosen frame opens a new one only if that skips packets."""
    runs: list[_Run] = []
    for place in chosen:
        position, entry = int(table.positions[place]), table.entry(place)
        if runs and entry <= runs[-1].last + 1:
            runs[-1].entry = min(runs[-1].entry, entry)
            runs[-1].last = max(runs[-1].last, position)
            runs[-1].places.append(place)
        else:
            runs.append(_Run(entry, position, [place]))
    return runs


def _length(table: FrameTable, run: _Run) -> int:
    """How many packets of a run are decoded."""
    needed = {int(table.positions[place]) for place in run.places}
    return sum(not table.disposable[position] or position in needed for position in range(run.entry, run.last + 1))


def _feed(index: PacketIndex, table: FrameTable, run: _Run) -> Iterator[VideoPacket | None]:
    """The packets from a run's entry on, without those that can be left out; None, the end, after the last."""
    needed = {int(table.positions[place]) for place in run.places}
    for position, packet in index.packets.since(run.entry):
        if position in needed or not table.disposable[position]:
            yield packet
    yield None
