"""The memory of the server's processes over time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..schema.load import MemorySample, Trend
from .processes import Usage, usage
from .trend import floor, slope

EVERY_S = 1.0
# Queues, allocators and caches fill up at first; that part of a run is no trend.
SETTLING = 0.25
# Where videos are indexed the gallery's old versions become more until the first of them are dropped.
_MOST_SETTLING = 0.5
ALL = "all"
# What is given back within as many samples is not growth, but room to work: a second copy of the gallery for a moment.
_WINDOW = 5
_FEWEST_WINDOWS = 4
# Less growth than this of a process in a whole run can't be told from an allocator's habits.
_LEAST_MB = 1.0
_MB = 1e6


class MemorySampler:
    """Call it often: it looks at the server's processes once a second.

    Args:
        server: the server's process id; without one nothing is sampled.
    """

    def __init__(self, server: int | None) -> None:
        self._server = server
        self._started = self._next = time.monotonic()
        self._times: list[float] = []
        self._samples: list[dict[int, Usage]] = []

    def __call__(self) -> None:
        now = time.monotonic()
        if self._server is not None and now >= self._next:
            self._next = now + EVERY_S
            self._times.append(now - self._started)
            self._samples.append(usage(self._server))

    def timeline(self) -> tuple[MemorySample, ...]:
        """One sample a second."""
        points = []
        for at, sample in zip(self._times, self._samples, strict=True):
            sizes: dict[str, float] = {}
            for one in sample.values():
                sizes[one.name] = sizes.get(one.name, 0.0) + one.rss / _MB
            points.append(MemorySample(round(at, 1), {name: round(size, 2) for name, size in sizes.items()}))
        return tuple(points)

    def trends(self, settling_s: float = 0.0) -> dict[str, Trend]:
        """As the function ``trends``, of what was sampled; ``settling_s`` are left out up to half of it."""
        lasted = self._times[-1] if self._times else 0.0
        settling = max(SETTLING, min(_MOST_SETTLING, settling_s / lasted if lasted else 0.0))
        return trends([(point.second, point.rss_mb) for point in self.timeline()], settling)


def growth(found: Mapping[str, Trend]) -> str:
    """What ``trends`` found, in words."""
    if not found:
        return f"needs {round(_FEWEST_WINDOWS * _WINDOW * EVERY_S / (1 - SETTLING))} s at least"
    more = [f"{name} {trend.grown_mb:+.1f} MB" for name, trend in found.items() if name != ALL and not trend.flat]
    whole = f"all processes {found[ALL].grown_mb:+.1f} MB of {found[ALL].first_mb:.0f} once they had settled"
    return ", ".join([whole, *more])


def growing(found: Mapping[str, Trend]) -> tuple[str, ...]:
    """Those that aren't flat."""
    return tuple(sorted(name for name, trend in found.items() if not trend.flat))


def trends(points: Sequence[tuple[float, Mapping[str, float]]], settling: float = SETTLING) -> dict[str, Trend]:
    """The growth of every model's processes and of ``all``, of ``points``: seconds, and megabytes by process.

    The share ``settling`` is left out at the start, and of every five points the lowest is taken. What remains is
    judged by a straight line: ``mb_per_min`` with its 95 % ``margin``, and ``grown_mb`` by that line from end to end. A
    process is ``flat`` if the interval reaches down to zero, or if it has grown by under a megabyte; ``all`` may grow
    by one for each process. An allocator that fills up slows down and stays under it, a leak does not: at 200 requests
    a second it is seen in a minute and a half from 60 bytes a request on, and in ten minutes from 9 bytes.

    ``first_mb`` is the size when that share was over, and ``settling_mb`` what was added in it. Empty if there
    are too few points.
    """
    start = int(settling * len(points))
    if len(points) - start < _FEWEST_WINDOWS * _WINDOW:
        return {}
    times = [at for at, _ in points]
    names = sorted(set.intersection(*(set(sizes) for _, sizes in points)))
    series = {name: [sizes[name] for _, sizes in points] for name in names}
    series[ALL] = [sum(sizes.values()) for _, sizes in points]
    told = {}
    for name, values in series.items():
        when, lowest = floor(times[start:], values[start:], _WINDOW)
        found = slope(when, lowest)
        grown = found.value * (times[-1] - times[start])
        told[name] = Trend(
            mb_per_min=round(60 * found.value, 4),
            margin=round(60 * found.margin, 4),
            grown_mb=round(grown, 2),
            first_mb=round(lowest[0], 2),
            settling_mb=round(lowest[0] - values[0], 2),
            flat=found.within_noise or grown < _LEAST_MB * (len(names) if name == ALL else 1),
        )
    return told
