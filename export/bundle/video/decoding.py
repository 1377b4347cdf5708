"""Decoding a stream from start to end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from .packet_index import PacketIndex
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


def decode_all(
    context: VideoCodecContext, index: PacketIndex, chosen: Iterable[int], take: Take, work: Work
) -> Decoded:
    """Decode a stream from start to end, skipping packets that can't be decoded, and keep the chosen frames.

    Raises:
        InvalidVideo: more work than the limit.
    """
    work.plan(index.packets.count * pixels_of(context))
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
            work.spend(pixels_of(context))
        for frame in frames:
            if len(decoded.times) in wanted:
                decoded.pictures[len(decoded.times)] = take(frame)
            decoded.times.append(frame.pts)
    return decoded


def pixels_of(context: VideoCodecContext) -> int:
    """Of one of its pictures, at least one."""
    return max(1, context.width * context.height)


def _all(index: PacketIndex) -> Iterator[VideoPacket | None]:
    for _, packet in index.packets.since(0):
        yield packet
    yield None
