"""How much of one ranking's beginning another one has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = 10


def overlap(found: Iterable[Sequence[Any]], best: Iterable[Sequence[Any]]) -> float:
    """The mean share of each row of ``best`` that the same row of ``found`` holds, in any order."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, best, strict=True)]))


def best(scores: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The columns [Q, count] of the highest of ``scores`` [Q, V], best first, the earlier first among equals."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def top_overlap(got: NDArray[Any], want: NDArray[Any]) -> float:
    """``overlap`` of the ten best of scores [Q, V]; of half of the videos, where that is less.

    Were all videos among the best, every ranking would agree.
    """
    count = min(TOP, max(1, want.shape[1] // 2))
    return overlap(best(got, count).tolist(), best(want, count).tolist())
