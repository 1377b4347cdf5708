"""Where a curve of latency against load turns up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def knee(loads: Sequence[float], latencies: Sequence[float]) -> int | None:
    """The place of the knee in a sweep of ascending ``loads``; None where latency does not turn up.

    Both axes are scaled to 0 to 1, and the knee is the point farthest below the straight line from the first point to
    the last: the most load for the least latency. That is the rule of Satopaa et al., "Finding a Kneedle in a Haystack"
    (2011).
    """
    if len(loads) < 3:
        return None
    x, y = np.asarray(loads, float), np.asarray(latencies, float)
    if np.ptp(x) == 0 or y[-1] <= y[0]:
        return None
    below = (x - x[0]) / (x[-1] - x[0]) - (y - y[0]) / (y[-1] - y[0])
    place = int(below.argmax())
    return place if below[place] > 0 else None
