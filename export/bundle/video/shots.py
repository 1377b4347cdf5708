"""Where the shots of a film begin: where its pictures change more from one to the next than a threshold.

The measure is that of FFmpeg's filter ``select`` (its ``scene``): the mean difference of two pictures' values of 0 to
255, or how much that changes, whichever is less, in hundreds and at most 1.
https://ffmpeg.org/ffmpeg-filters.html#select_002c-aselect
"""

from __future__ import annotations

from fractions import Fraction
from itertools import chain

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from ..errors import InvalidVideo
from .container import open_video
from .packet_index import read_index
from .seconds import seconds_of
from .shots_found import Shots
from .source import Source
from .work import Work

# Pictures are compared when they are so wide: what a shot shows, and no noise.
_WIDTH = 160


def find_shots(source: Source, share: float, work: Work) -> Shots:
    """Decode a film and find its shots.

    Args:
        share: what the measure must exceed for another shot to begin, 0 to 1; cuts are mostly above 0.3.

    Raises:
        InvalidVideo: it can't be read, or is over a limit.
    """
    with open_video(source, work) as video:
        index, context = read_index(video), video.decoder()
        work.plan(index.packets.count * max(1, context.width * context.height))
        times: list[int | None] = []
        changed: list[int] = []
        watch = _Watch(share)
        for packet in chain((packet for _, packet in index.packets.since(0)), [None]):
            try:
                frames = context.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError:
                continue
            for frame in frames:
                work.spend(frame.width * frame.height)
                if watch.changes(frame):
                    changed.append(len(times))
                times.append(frame.pts)
        if not times:
            raise InvalidVideo("the video is damaged: none of its frames can be decoded")
        seconds, step = seconds_of(video, index, times)
        return Shots([float(seconds[place]) for place in changed], float(seconds[-1]) + step)


class _Watch:
    """Compares each picture with the one before it."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._graph = Graph()
        self._made_for: tuple[int, int, str] | None = None

    def changes(self, frame: VideoFrame) -> bool:
        """Whether another shot begins with a picture."""
        wanted = frame.width, frame.height, frame.format.name
        if wanted != self._made_for:
            self._graph = self._graph_of(frame)
            self._made_for = wanted
        self._graph.push(frame)
        try:
            self._graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return False
        return True

    def _graph_of(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        last = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        for name, options in (
            ("scale", f"{_WIDTH}:-2:flags=bilinear"),
            ("select", f"gt(scene,{self._share})"),
            ("buffersink", ""),
        ):
            following = graph.add(name, options)
            last.link_to(following)
            last = following
        graph.configure()
        return graph
