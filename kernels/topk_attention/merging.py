"""The best of several lists of scores, of equal ones the lower row first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..walk import Rows
from .operands import Floats


def best_of(lists: Sequence[tuple[Floats, Rows]], queries: int, n: int) -> tuple[Floats, Rows]:
    """The ``n`` best, or all, of scores float32 and rows int64 [Q, m] each: -inf and -1 where a query has no more."""
    scores = np.concatenate([np.empty((queries, 0), np.float32), *(each for each, _ in lists)], axis=1)
    rows = np.concatenate([np.empty((queries, 0), np.int64), *(each for _, each in lists)], axis=1)
    # What is not there comes last, behind a score of -inf.
    order = np.lexsort((rows, -scores, rows < 0), axis=1)[:, :n]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
