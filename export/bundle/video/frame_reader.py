"""Decoding chosen frames of a stream, each stretch of its packets once, though they are asked for in several calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from .access_units import is_intra
from .decoding import Take, pixels_of
from .packet_index import FrameTable, PacketIndex
from .packets import VideoPacket
from .resizing import Pixels
from .work import Work

# Of the work that a call may take, what may go into pictures that it does not ask for itself.
_AHEAD_SHARE = 8


@dataclass
class _Run:
    """Packets to be decoded, from ``entry`` on, or from where the decoder is where it is None.

    Attributes:
        last: the place of the last one that holds a picture to be taken.
        places: the frames to be taken, which the caller wants.
        ahead: those which it may want later.
    """

    entry: int | None
    last: int
    places: list[int]
    ahead: list[int]


class FrameReader:
    """Decodes frames by their places in the order of presentation, starting at the nearest entry before each.

    Frames that nothing refers to and nobody chose are not decoded at all. A call goes on where the last one stopped
    where that is nearer than an entry.

    Args:
        context: its decoder, which nobody else uses.
        work: where the time that it takes is counted.
    """

    def __init__(self, context: VideoCodecContext, index: PacketIndex, table: FrameTable, work: Work) -> None:
        self._context, self._index, self._table, self._work = context, index, table, work
        # Two fields may come as two packets; but each picture of these codecs is whole.
        self._whole = is_intra(context.codec.canonical_name)
        self._held: dict[int, Pixels] = {}
        self._start = 0
        self._begin(None)

    def pictures(self, chosen: Iterable[int], take: Take, ahead: Sequence[int] = ()) -> dict[int, Pixels] | None:
        """The pictures of chosen frames by place, or None where they are not what the packets promised.

        Args:
            take: makes a picture of a frame, for a call alike for the same frame.
            ahead: frames that later calls will probably choose: they are decoded with these, and kept for them.

        Raises:
            InvalidVideo: more work than the limit.
        """
        wanted = sorted(set(chosen))
        fresh = self._next is None and not self._held
        found = self._found(wanted, take, ahead)
        if found is None and not fresh:
            # It may be the fault of what came before.
            found = self._found(wanted, take, ahead)
        return found

    def rewind(self) -> None:
        """Begin at an entry the next time: somebody else has used the decoder."""
        self._begin(None)

    def _found(self, wanted: Sequence[int], take: Take, ahead: Sequence[int]) -> dict[int, Pixels] | None:
        left = [place for place in wanted if place not in self._held]
        also = [] if self._whole else sorted(set(ahead) - self._held.keys() - set(left))
        self._work.plan(sum(map(self._length, self._runs(left, ()))) * pixels_of(self._context))
        runs = self._runs(left, also)
        for run in runs:
            if not run.places and not self._spare():
                continue
            if run.entry is not None:
                self._begin(run.entry)
            if not self._read(run, take, last=run is runs[-1]):
                self._begin(None)
                if not self._held.keys() >= set(run.places):
                    self._held.clear()
                    return None
        found = {place: self._held[place] for place in wanted}
        self._held = {place: self._held[place] for place in ahead if place in self._held}
        return found

    def _begin(self, entry: int | None) -> None:
        """Have the decoder forget all that it has seen, to start at an entry; at none, it has to before it is used."""
        self._next, self._ended = entry, False
        # Frames that the decoder has given and nobody has looked at, and the times of those that it has yet to give.
        self._left: deque[VideoFrame] = deque()
        self._due = set[int]()
        if entry is not None:
            self._context.flush_buffers()
            self._start = int(self._table.entry_pts[self._table.entries.searchsorted(entry)])

    def _runs(self, chosen: Sequence[int], ahead: Sequence[int]) -> list[_Run]:
        """The stretches of packets to decode: a chosen frame opens a new one only if that skips packets."""
        runs: list[_Run] = []
        places = sorted((*chosen, *ahead))
        if not places:
            return runs
        wanted = set(chosen)
        entries = self._table.entries_of(places).tolist()
        for place, entry in zip(places, entries, strict=True):
            position, run = int(self._table.positions[place]), runs[-1] if runs else None
            if run is None and self._next is not None and entry <= self._next and self._comes(place):
                runs.append(run := _Run(None, max(position, self._next - 1), [], []))
            elif run is None or entry > run.last + 1 or (run.entry is None and not self._comes(place)):
                runs.append(run := _Run(entry, position, [], []))
            else:
                run.entry = None if run.entry is None else min(run.entry, entry)
                run.last = max(run.last, position)
            (run.places if place in wanted else run.ahead).append(place)
        return runs

    def _comes(self, place: int) -> bool:
        """Whether the decoder will give a frame if it goes on."""
        assert self._next is not None
        time = int(self._table.pts[place])
        return time >= self._start and (int(self._table.positions[place]) >= self._next or time in self._due)

    def _length(self, run: _Run) -> int:
        """How many packets of a run are decoded."""
        entry = (self._next or 0) if run.entry is None else run.entry
        positions = self._table.positions[run.places]
        skipped = self._table.disposable[entry : run.last + 1]
        needed = self._table.disposable[positions[positions >= entry]]
        return len(skipped) - int(np.count_nonzero(skipped)) + int(np.count_nonzero(needed))

    def _read(self, run: _Run, take: Take, *, last: bool) -> bool:
        """Take the pictures of a run; returns whether the decoder may go on behind it.

        Args:
            last: the next call may want that.
        """
        pts, positions = self._table.pts, self._table.positions
        due = {int(pts[place]): place for place in (*run.places, *run.ahead)}
        packets = self._packets({int(positions[place]) for place in due.values()}, max(due), last)
        asked = {int(pts[place]) for place in run.places}
        while due and (asked or self._spare()):
            if not self._left:
                if self._ended or not self._decoded(next(packets)):
                    return False
                continue
            frame = self._left.popleft()
            if frame.interlaced_frame and not self._whole:
                return False
            if frame.pts is None:
                continue
            self._due.discard(frame.pts)
            if (place := due.pop(frame.pts, None)) is not None:
                self._held[place] = take(frame)
                asked.discard(frame.pts)
        return True

    def _spare(self) -> bool:
        """Whether there is work to spare for what nobody has asked for yet."""
        return self._work.spent < self._work.limits.max_work / _AHEAD_SHARE

    def _decoded(self, packet: VideoPacket | None) -> bool:
        """Decode a packet, or, with None, what the decoder has yet to give; returns whether that may go on."""
        self._ended = packet is None
        try:
            frames = self._context.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            # What leads an entry may refer to what comes before it.
            return packet is not None and packet.pts is not None and packet.pts < self._start
        if packet is not None and packet.pts is not None:
            self._due.add(packet.pts)
        self._left.extend(frames)
        self._work.spend(pixels_of(self._context))
        return True

    def _packets(self, needed: set[int], until: int, last: bool) -> Iterator[VideoPacket | None]:
        """The packets from the decoder's place on, without those that can be left out; None, the end, after the last.

        Of those that are shown behind ``until``, none is left out of the last run: the next call may choose it.
        """
        packets, disposable = self._index.packets, self._table.disposable
        assert self._next is not None
        if self._next < packets.count:
            for position, packet in packets.since(self._next):
                self._next = position + 1
                behind = last and (packet.pts is None or packet.pts > until)
                if position in needed or behind or not disposable[position]:
                    yield packet
        yield None
