"""The knee of a sweep: where latency turns up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..schema.load import Window

# A level at which more than this part of the requests had no answer counts as being as slow as the slowest.
LOST = 0.01


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


def with_knee(rows: Sequence[Window]) -> list[Window]:
    """Open loops by ascending rate, of which the one at which p99 turns up has ``knee``.

    A server that refuses what it can't do stays fast for the others: see ``LOST``.
    """
    known = [(place, row.latency.p99_ms) for place, row in enumerate(rows) if row.latency.p99_ms is not None]
    slowest = max((p99 for _, p99 in known), default=0.0)
    latencies = [slowest if rows[place].failed > LOST * rows[place].requests else p99 for place, p99 in known]
    found = knee([rows[place].offered_qps or 0.0 for place, _ in known], latencies)
    turn = None if found is None else known[found][0]
    return [replace(row, knee=place == turn) for place, row in enumerate(rows)]
