"""When a video's frames are shown."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from .container import VideoFile
from .packet_index import PacketIndex

# Frames per second where neither the file nor its times tell.
_FALLBACK_RATE = 25.0
# Rates that differ by this factor are told by ticks of a clock, not by frames; up to the other they are one rate.
_GROSSLY, _SAME = 5.0, 1.02

Seconds = npt.NDArray[np.float64]


def seconds_of(video: VideoFile, index: PacketIndex, times: Sequence[int | None]) -> tuple[Seconds, float]:
    """When each frame is shown, from the first, and how long the last one is.

    Frames are evenly spaced if the file doesn't say, or its clock goes back.
    """
    base = base_of(video)
    step = step_of(video, index)
    known = [time for time in times if time is not None]
    if not base or len(known) < len(times) or any(np.diff(known) < 0):
        return np.arange(len(times)) * step, step
    return (np.array(known) - known[0]) * base, step


def base_of(video: VideoFile) -> float:
    """Seconds of the unit of its stream's times; 0 where it is not told."""
    return float(video.stream.time_base or 0)


def step_of(video: VideoFile, index: PacketIndex) -> float:
    """Seconds that the last frame is shown for."""
    return index.last_step * base_of(video) or 1 / rate_of(video, index)


def rate_of(video: VideoFile, index: PacketIndex) -> float:
    """Frames per second on average: by the file's own account, unless its times belie that."""
    told, seconds = video.stream.average_rate, (index.span or 0) * (video.stream.time_base or 0)
    measured = (index.shown - 1) / seconds if seconds else Fraction(0)
    if not told or not measured:
        return float(told or measured) or _FALLBACK_RATE
    # Where the last frame stays for long, tables count that and the times between frames don't.
    whole = index.shown / (seconds + index.last_step * (video.stream.time_base or 0))
    # An account of a clock that jumped may count the jump, but one that doesn't is the better one: times are rounded.
    bound = _SAME if index.jumped else _GROSSLY
    return float(told if 1 / bound < told / whole < bound else measured)
