"""The shots of a film, and the segments that begin with them."""

from __future__ import annotations

from typing import NamedTuple

from ..segments import Cutting, Segment
from .part import Part


class Shots(NamedTuple):
    """When the shots of a film begin, but for the first, and how long it is, in seconds."""

    starts: list[float]
    duration: float


def parts_of(cutting: Cutting, shots: Shots, draft: str) -> list[Part]:
    """The segments of a film that is cut where its shots begin, all of them told.

    Raises:
        InvalidVideo: too many.
    """
    windows = cutting.windows(shots.duration, shots.starts)
    return [
        Part(number, draft, cutting, Segment(number, len(windows), *window)) for number, window in enumerate(windows)
    ]
