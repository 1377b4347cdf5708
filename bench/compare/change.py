"""Whether a time has changed between two versions, beyond the noise of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["slower", "faster", "same"]

MARGIN = 0.05
SIGNIFICANCE = 0.01
# With fewer runs a side even two that are fully apart are no rarer than ``SIGNIFICANCE``.
LEAST_RUNS = 5
_RESAMPLES = 4000


@dataclass(frozen=True)
class Change:
    """Head's time over base's.

    Attributes:
        ratio: of the medians; above 1 is slower.
        low, high: the interval that holds the ratio in 99 of 100 resamplings of the runs.
        p: of Mann and Whitney's test, two-sided: how often runs of equal versions are as far apart as these.
    """

    base_s: float
    head_s: float
    ratio: float
    low: float
    high: float
    p: float
    verdict: Verdict


def change(base: Sequence[Sequence[float]], head: Sequence[Sequence[float]], margin: float = MARGIN) -> Change:
    """Compare seconds measured in several runs of both versions; ``base[i]`` and ``head[i]`` ran one after the other.

    A run counts as one number, its median: rounds within a process share its memory layout and the machine's other
    load, and would pass for more evidence than they are. It is a change if both hold: the whole interval of the ratio
    lies beyond 1 plus or minus ``margin``, and p is below ``SIGNIFICANCE``.

    Raises:
        ValueError: not as many runs of one as of the other, or fewer than ``LEAST_RUNS``.
    """
    if len(base) != len(head) or len(base) < LEAST_RUNS:
        raise ValueError(f"{len(base)} and {len(head)} runs: there must be {LEAST_RUNS} of each, in pairs")
    old, new = (np.array([np.median(run) for run in side]) for side in (base, head))
    # Pairs are drawn together, so that a slow minute of the machine counts for both or for none.
    drawn = np.random.default_rng(0).integers(0, len(old), (_RESAMPLES, len(old)))
    ratios = np.median(new[drawn], axis=1) / np.median(old[drawn], axis=1)
    low, high = (float(x) for x in np.percentile(ratios, (100 * SIGNIFICANCE / 2, 100 - 100 * SIGNIFICANCE / 2)))
    p = mann_whitney(old.tolist(), new.tolist())
    verdict: Verdict = "same"
    if p < SIGNIFICANCE and low > 1 + margin:
        verdict = "slower"
    elif p < SIGNIFICANCE and high < 1 - margin:
        verdict = "faster"
    base_s, head_s = float(np.median(old)), float(np.median(new))
    return Change(base_s, head_s, head_s / base_s, low, high, p, verdict)


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The exact two-sided p of Mann and Whitney's U test for samples without ties; ties count half."""
    m, n = len(first), len(second)
    u = sum((a > b) + 0.5 * (a == b) for a in first for b in second)
    ways = _arrangements(m, n)
    extreme = sum(ways[: int(min(u, m * n - u)) + 1])
    return min(1.0, 2 * extreme / sum(ways))


def _arrangements(m: int, n: int) -> list[int]:
    """How many orders of m and n values have U = 0, 1, ..., m n: the coefficients of the Gaussian binomial."""
    ways = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            ways[u] -= ways[u - n - i]
        for u in range(i, m * n + 1):
            ways[u] += ways[u - i]
    return ways
