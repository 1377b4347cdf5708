"""Whether a series grows, or only wavers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Of the normal distribution, two-sided 95 %; series are long.
_Z = 1.96


@dataclass(frozen=True)
class Slope:
    """A slope by least squares and the half width of its 95 % confidence interval, both a second."""

    value: float
    margin: float

    @property
    def within_noise(self) -> bool:
        """Whether the interval holds zero, or what lies above it."""
        return self.value - self.margin <= 0


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """The trend of ``values`` over ``times`` in seconds.

    Neighbours in a series of memory sizes are alike, so that there is less in it than its length says: the interval is
    widened by the residuals' autocorrelation r at lag one, by the root of (1 + r) / (1 - r).

    Raises:
        ValueError: fewer than three points.
    """
    if len(times) < 3:
        raise ValueError(f"a trend needs three points, there are {len(times)}")
    t, v = np.asarray(times, float), np.asarray(values, float)
    t, v = t - t.mean(), v - v.mean()
    spread = float(t @ t)
    value = float(t @ v) / spread
    rest = v - value * t
    error = np.sqrt(float(rest @ rest) / (len(t) - 2) / spread)
    whole = float(rest @ rest)
    alike = min(max(float(rest[1:] @ rest[:-1]) / whole, 0.0), 0.999) if whole > 0 else 0.0
    return Slope(value, float(_Z * error * np.sqrt((1 + alike) / (1 - alike))))


def floor(times: Sequence[float], values: Sequence[float], window: int) -> tuple[list[float], list[float]]:
    """The middle of every ``window`` points in time, and the lowest of their values; a rest at the end is left out."""
    starts = range(0, len(times) - window + 1, window)
    middles = [float(np.mean(times[start : start + window])) for start in starts]
    return middles, [float(min(values[start : start + window])) for start in starts]
