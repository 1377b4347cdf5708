"""Which frames of a video are taken: the published systems' rules, each as its authors' code computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

# Frames of a clip that are a second.
_CLIP_RATE = 2
_FILM_RATE = 24

Sampler = Callable[[int, float, int], list[int]]
"""From a video's number of frames, its frames per second and the number wanted to indices of frames.

They ascend, but for clips that overlap: these follow one another whole.
Of a short video it may give fewer than are wanted, never more and never none.
"""


def uniform_middle(total: int, rate: float, count: int) -> list[int]:
    """The middle frame of each of ``min(count, total)`` equal parts (X-Pool, Frozen in Time)."""
    # Truncated floats, not integer division: this is how the published models were trained.
    cuts = np.linspace(0, total, min(count, total) + 1).astype(int).tolist()
    return [(first + after - 1) // 2 for first, after in pairwise(cuts)]


def second_steps(total: int, rate: float, count: int) -> list[int]:
    """The first frame of every second, thinned evenly to ``count`` (CLIP4Clip, X-CLIP, TS2-Net).

    A second is the frame rate rounded down, so at 29.97 frames a second it has 29; below one frame a second, where the
    authors' code divides by zero, every frame is taken. Frames are counted at a variable rate too; there the authors'
    code depends on where OpenCV's seeking ends up, which is not reproduced.
    """
    seconds = range(0, total, max(1, int(rate)))
    if len(seconds) <= count:
        return list(seconds)
    return [seconds[place] for place in np.linspace(0, len(seconds) - 1, count, dtype=int).tolist()]


def tick_middle(total: int, rate: float, count: int) -> list[int]:
    """The frame at the middle of each of ``count`` equal stretches; of a short video all frames (DGL)."""
    if total <= count:
        return list(range(total))
    tick = total / count
    return [int(tick / 2 + tick * place) for place in range(count)]


def segment_round(total: int, rate: float, count: int) -> list[int]:
    """Always ``count`` frames, evenly from the first on, moved by half a step (STAN).

    A short video gives some frames more than once, and its last ones maybe never.
    """
    step = (total - 1) / count
    return [round(step * place) + int(step / 2) for place in range(count)]


def clips(total: int, rate: float, count: int, together: int = 1) -> list[int]:
    """``count / together`` clips of ``together`` frames, two of which are a second (ClipBERT).

    Clips begin at even steps that would reach the end with one more of them, so the last second is never read; a single
    one lies in the middle of three.
    """
    number, length = count // together, together / _CLIP_RATE * rate
    shares = [1 / 3] if number == 1 else [place / number for place in range(number)]
    # Truncated between a clip's first frame and its last, and cut where the video ends.
    inside = np.linspace(0, length - 1, together).astype(int).tolist()
    starts = [math.ceil(max(total - length, 0) * share) for share in shares]
    return [min(start + step, total - 1) for start in starts for step in inside]


def equal_middle(total: int, rate: float, count: int) -> list[int]:
    """Always ``count`` frames, each at the middle of one of ``count`` equal stretches (Clover).

    A short video gives frames more than once.
    """
    return [int((place + 0.5) * total / count) for place in range(count)]


def each_second(total: int, rate: float, count: int) -> list[int]:
    """One frame a second, as FFmpeg's filter ``fps`` takes it, and at most ``count`` (HowTo100M's 2D features)."""
    return _at_rate(total, rate, count, 1)


def film_rate(total: int, rate: float, count: int) -> list[int]:
    """24 frames a second, as FFmpeg's filter ``fps`` takes or repeats them, and at most ``count`` (its 3D features)."""
    return _at_rate(total, rate, count, _FILM_RATE)


def _at_rate(total: int, rate: float, count: int, wanted: int) -> list[int]:
    """Of the frames whose rounded place at the rate ``wanted`` is ``k`` or before it the last one, for every ``k``.

    As many as the video lasts, rounded; at least one. Halves are rounded up, and frames are counted at a variable rate
    too.
    """
    places = np.floor(np.arange(total) / rate * wanted + 0.5)
    ticks = min(count, max(1, math.floor(total / rate * wanted + 0.5)))
    chosen: list[int] = (np.searchsorted(places, np.arange(ticks), side="right") - 1).tolist()
    return chosen


SAMPLERS: Mapping[str, Sampler] = {
    "uniform_middle": uniform_middle,
    "second_steps": second_steps,
    "tick_middle": tick_middle,
    "segment_round": segment_round,
    "clips": clips,
    "equal_middle": equal_middle,
    "each_second": each_second,
    "film_rate": film_rate,
}
