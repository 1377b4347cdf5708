"""Retrieval metrics from a score matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput
from .ranking import averaged


@dataclass(frozen=True)
class RetrievalMetrics:
    """R@1, R@5, R@10 in per cent, median rank and mean rank (1 is best)."""

    r1: float
    r5: float
    r10: float
    mdr: float
    mnr: float

    HEADINGS = ("R@1", "R@5", "R@10", "MdR", "MnR")

    def cells(self) -> tuple[str, ...]:
        """The five numbers as the field prints them."""
        return tuple(f"{value:.1f}" for value in (self.r1, self.r5, self.r10, self.mdr, self.mnr))

    def __str__(self) -> str:
        return "  ".join(f"{name} {cell}" for name, cell in zip(self.HEADINGS, self.cells(), strict=True))


def ranks(scores: NDArray[np.floating[Any]], target: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The rank of each query's own video, 1 being best.

    Equal scores give the rank expected if they were ordered at random, so a constant scorer gains nothing.

    Args:
        scores: [Q, V], higher is better.
        target: the column of each query's video, [Q].
    """
    found: NDArray[np.float64] = np.asarray(1.0 + averaged(scores, np.asarray(target)), np.float64)
    return found


def retrieval_metrics(
    scores: NDArray[np.floating[Any]], target: Sequence[int] | NDArray[np.integer[Any]] | None = None
) -> RetrievalMetrics:
    """Metrics of a score matrix [Q, V]; without ``target`` query i belongs to video i.

    Raises:
        InvalidInput: NaN among the scores, or no query.
    """
    if not len(scores) or np.isnan(scores).any():
        raise InvalidInput("metrics need at least one query and no NaN score")
    rank = ranks(scores, np.arange(len(scores)) if target is None else target)
    r1, r5, r10 = (100 * float((rank <= k).mean()) for k in (1, 5, 10))
    return RetrievalMetrics(r1, r5, r10, float(np.median(rank)), float(rank.mean()))
