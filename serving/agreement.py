"""Served rankings against a reference's score matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scores this close have no order: float32 in another order of summation moves them by about 1e-6.
TIE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """How many of ``queries`` rankings equal the reference's; ``worst`` is the largest difference of any one score.

    ``swapped`` counts places at which two videos closer than ``TIE`` stand in another order.
    """

    queries: int
    equal: int
    swapped: int
    worst: float


def compare(
    rankings: Sequence[Sequence[str]],
    scores: Sequence[NDArray[np.floating[Any]]],
    ids: Sequence[str],
    reference: NDArray[np.floating[Any]],
) -> Agreement:
    """Compare every ranking with the reference, place by place.

    Args:
        rankings: for each query the ids found, best first.
        scores: for each query the scores of those ids.
        ids: the id of each column of ``reference``.
        reference: [Q, V].
    """
    column = {name: i for i, name in enumerate(ids)}
    equal = swapped = 0
    worst = 0.0
    for found, given, row in zip(rankings, scores, reference, strict=True):
        mine = row[[column[name] for name in found]]
        best = np.sort(row)[::-1][: len(found)]
        worst = max(worst, float(np.abs(mine - given).max(initial=0.0)))
        whole = len(set(found)) == len(found) == min(len(found), len(row))
        equal += bool(whole and (np.abs(mine - best) <= TIE).all())
        swapped += int((mine != best).sum())
    return Agreement(len(rankings), equal, swapped, worst)
