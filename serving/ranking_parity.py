"""Served rankings against a reference's score matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scores this close have no order. Graph and eager model differ by 1e-6 in a record, and where that falls on the edge
# between two float16 values, a stored number and with it a score moves by a few 1e-5.
TIE = 1e-4


@dataclass(frozen=True)
class RankingParity:
    """How many of ``queries`` rankings equal the reference's, place by place.

    ``swapped`` counts the places at which videos closer than ``TIE`` stand in another order. ``off`` counts the scores
    that differ by more than ``TIE``, of ``scores`` in all: there two logits lay closer than rounding and another frame
    was kept. ``worst`` is the largest difference of the others.
    """

    queries: int
    equal: int
    swapped: int
    scores: int
    off: int
    worst: float


def compare(
    rankings: Sequence[Sequence[str]],
    scores: Sequence[NDArray[np.floating[Any]]],
    ids: Sequence[str],
    reference: NDArray[np.floating[Any]],
) -> RankingParity:
    """Compare every ranking with the reference.

    Args:
        rankings: for each query the ids found, best first.
        scores: for each query the scores of those ids.
        ids: the id of each column of ``reference``.
        reference: [Q, V].
    """
    column = {name: i for i, name in enumerate(ids)}
    equal = swapped = 0
    differences = []
    for found, given, row in zip(rankings, scores, reference, strict=True):
        mine = row[[column[name] for name in found]]
        best = np.sort(row)[::-1][: len(found)]
        whole = len(set(found)) == len(found)
        equal += bool(whole and (np.abs(mine - best) <= TIE).all())
        swapped += int((mine != best).sum())
        differences.append(np.abs(mine - given))
    every = np.concatenate(differences)
    close = every[every <= TIE]
    return RankingParity(
        len(rankings), equal, swapped, len(every), len(every) - len(close), float(close.max(initial=0.0))
    )
