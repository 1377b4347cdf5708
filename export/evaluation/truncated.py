"""Text-to-video metrics from answers that hold only the best videos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput
from .metrics import RetrievalMetrics
from .rules import LEVELS, Measurement
from .scores import Floats, ScoreMatrix

_MDR, _MNR = RetrievalMetrics.HEADINGS[3:]


def truncated_t2v(matrix: ScoreMatrix, seen: NDArray[np.bool_], lowest: Floats) -> Measurement:
    """The rule ``expected`` on answers cut off after their last hit.

    A caption whose video is in its answer has its exact rank: every better video is in the answer too. One whose video
    is not, or ties with the last hit, has at least the rank after those seen. So recalls are exact, the median is as
    long as it falls among exact ranks, and the mean is a lower bound; ``Measurement.at_least`` says which are bounds.

    Args:
        matrix: scores [Q, V] where ``seen``, anything elsewhere.
        seen: [Q, V], which videos the answer to a caption holds.
        lowest: [Q], the score of each answer's last hit, be it one of the V videos or another.

    Raises:
        InvalidInput: an answer with so few of the V videos that R@10 stays open.
    """
    scores = np.where(seen, matrix.scores, -np.inf)
    own = matrix.own
    found = seen[np.arange(len(own)), matrix.target]
    better = (scores > own[:, None]).sum(1)
    tied = ((scores == own[:, None]) & seen).sum(1)
    ranks = np.where(found, 1 + better + (tied - 1) / 2, 1 + seen.sum(1))
    open_ = ~found | (own == lowest)
    if (undecided := int((open_ & (ranks <= LEVELS[-1])).sum())) != 0:
        raise InvalidInput(
            f"{undecided} of {len(own)} answers hold fewer than {LEVELS[-1]} of the videos that count, and not "
            "the right one for sure: R@10 stays open. Use a gallery of the evaluated videos alone"
        )
    r1, r5, r10 = (100 * float((ranks <= k).mean()) for k in LEVELS)
    median = float(np.median(ranks))
    bounds: list[str] = []
    if float(np.median(np.where(open_, np.inf, ranks))) != median:
        bounds.append(_MDR)
    if open_.any():
        bounds.append(_MNR)
    return Measurement(r1, r5, r10, median, float(ranks.mean()), len(ranks), at_least=tuple(bounds))
