"""From decoded frames to upright RGB pictures, by the very filters of the ``ffmpeg`` command."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from ..errors import InvalidVideo
from .limits import VideoLimits
from .resizing import Image8
from .structure import Matrix

_TO_RGB = ("scale", "flags=bicubic"), ("format", "rgb24")
# What FFmpeg's scaler knows of a frame's colour matrix, its range, its transfer and its primaries. Of the rest BT.2020
# with constant luminance is taken as the other BT.2020, as ``ffmpeg`` did before version 7, and all others as unknown.
_MATRICES, _UNKNOWN = frozenset((0, 1, 2, 4, 5, 6, 7, 9)), 2
_CONSTANT_LUMINANCE, _BT2020 = 10, 9
_RANGES, _UNKNOWN_RANGE = frozenset((0, 1, 2)), 0

Filter = tuple[str, str]


class Pictures:
    """Makes pictures of one video's frames.

    Args:
        matrix: how the file says that its pictures are turned and mirrored for display; None if not at all.
        limits: the largest frame.
        short: pixels of their short side, if they are to be resized.
    """

    def __init__(self, matrix: Matrix | None, limits: VideoLimits, short: int | None = None) -> None:
        turned = () if matrix is None else turn(matrix)
        # A mirrored picture that needs no conversion would have its rows from the last to the first.
        self._turn = (*turned, ("copy", "")) if ("vflip", "") in turned else turned
        self._limits, self._short = limits, short
        self._graph = Graph()
        self._made_for: tuple[int, int, str] | None = None

    def rgb(self, frame: VideoFrame) -> Image8:
        """A frame as it is shown: RGB, uint8 [H, W, 3].

        Raises:
            InvalidVideo: the frame is over a limit, or FFmpeg can't convert it.
        """
        self._limits.check_frame(frame.width, frame.height)
        if frame.colorspace not in _MATRICES:
            frame.colorspace = _BT2020 if frame.colorspace == _CONSTANT_LUMINANCE else _UNKNOWN
        if frame.color_range not in _RANGES:
            frame.color_range = _UNKNOWN_RANGE
        # They are not converted, and the scaler refuses some that it has no need of.
        frame.color_trc = frame.color_primaries = _UNKNOWN
        try:
            self._prepare(frame)
            self._graph.push(frame)
            shown = self._graph.pull()
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            raise InvalidVideo(f"a frame of format {frame.format.name} can't be converted to RGB") from error
        assert isinstance(shown, VideoFrame)
        plane = shown.planes[0]
        rows: Image8 = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        # Of large pictures, whose rows have no padding, nothing is copied.
        return np.ascontiguousarray(rows[: shown.height, : 3 * shown.width]).reshape(shown.height, shown.width, 3)

    def _prepare(self, frame: VideoFrame) -> None:
        """Link the filters for frames like this one."""
        wanted = frame.width, frame.height, frame.format.name
        if wanted == self._made_for:
            return
        self._graph = Graph()
        self._graph.threads = 1
        last = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        for name, options in (*self._turn, *self._to_rgb(frame), ("buffersink", "")):
            following = self._graph.add(name, options)
            last.link_to(following)
            last = following
        self._graph.configure()
        self._made_for = wanted

    def _to_rgb(self, frame: VideoFrame) -> tuple[Filter, ...]:
        """The filters to RGB, and to the size wanted in the same step."""
        if self._short is None:
            return _TO_RGB
        turned = any(name == "transpose" for name, _ in self._turn)
        width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
        if height >= width:
            sides = self._short, int(height * self._short / width)
        else:
            sides = int(width * self._short / height), self._short
        return ("scale", "{}:{}:flags=bicubic".format(*sides)), _TO_RGB[1]


def turn(matrix: Matrix) -> tuple[Filter, ...]:
    """The filters by which ``ffmpeg`` turns and mirrors pictures on its own accord (-autorotate)."""
    across, down = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
    if across == 0 or down == 0:
        return ()
    angle = math.floor(math.degrees(math.atan2(matrix[1] / down, matrix[0] / across)) + 0.5) % 360
    if angle == 90:
        return (("transpose", "cclock_flip" if matrix[3] > 0 else "clock"),)
    if angle == 180:
        return (*((("hflip", ""),) if matrix[0] < 0 else ()), *((("vflip", ""),) if matrix[4] < 0 else ()))
    if angle == 270:
        return (("transpose", "clock_flip" if matrix[3] < 0 else "cclock"),)
    if angle > 1:
        return (("rotate", f"{angle}*PI/180"),)
    return (("vflip", ""),) if angle == 0 and matrix[4] < 0 else ()
