"""The one definition of a percentile of times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .schema.load import Percentiles

Seconds = Sequence[float] | npt.NDArray[np.float64]


def observed(times: Seconds, shares: Sequence[float]) -> list[float]:
    """Percentiles, in milliseconds, of times in seconds: each is one of them, the next above where it falls between.

    An interpolated tail would be a latency that nobody had.
    """
    found: list[float] = np.percentile(1e3 * np.asarray(times), shares, method="higher").tolist()
    return found


def latencies(times: Seconds) -> Percentiles:
    """The percentiles by which a server is judged."""
    if not len(times):
        return Percentiles()
    return Percentiles(*(round(found, 3) for found in observed(times, (50, 95, 99, 99.9, 100))))


def rounds(times: Seconds) -> tuple[float, float, float]:
    """The 20th, 50th and 80th percentile in milliseconds: of rounds of one piece of work, where the tail is noise."""
    p20, p50, p80 = observed(times, (20, 50, 80))
    return p20, p50, p80
