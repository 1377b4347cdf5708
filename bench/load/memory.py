"""Memory of the server's processes over time."""

from __future__ import annotations

import time
from typing import Any

from .processes import Usage, usage
from .trend import slope

EVERY_S = 1.0
# Queues, allocators and caches fill up at first; that part of a run is no trend.
SETTLING = 0.25
# Less growth than this in a whole run can't be told from an allocator's habits.
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

    def timeline(self) -> list[dict[str, Any]]:
        """One point a second: resident megabytes of every process, instances of a model added up."""
        points = []
        for at, sample in zip(self._times, self._samples, strict=True):
            sizes: dict[str, float] = {}
            for one in sample.values():
                sizes[one.name] = sizes.get(one.name, 0.0) + one.rss / _MB
            points.append({"second": round(at, 1), "rss_mb": {name: round(size, 2) for name, size in sizes.items()}})
        return points

    def trends(self) -> dict[str, dict[str, Any]]:
        """The growth of every model's processes and of ``all``, without the time of settling.

        ``mb_per_min`` with its 95 % ``margin``; ``flat`` if the interval reaches down to zero, or if what grew in the
        whole run is under a megabyte. Empty if the run was too short.
        """
        points = self.timeline()
        points = points[int(SETTLING * len(points)) :]
        if len(points) < 3:
            return {}
        times = [point["second"] for point in points]
        names = set.intersection(*(set(point["rss_mb"]) for point in points))
        series = {name: [point["rss_mb"][name] for point in points] for name in sorted(names)}
        series["all"] = [sum(point["rss_mb"].values()) for point in points]
        told = {}
        for name, values in series.items():
            found = slope(times, values)
            small = found.value * (times[-1] - times[0]) < _LEAST_MB
            told[name] = {
                "mb_per_min": round(60 * found.value, 4),
                "margin": round(60 * found.margin, 4),
                "flat": found.within_noise or small,
            }
        return told
