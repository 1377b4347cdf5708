"""The rules by which published code turns a score matrix into R@K, MdR and MnR, each under a name.

Two systems can rank the same videos alike and still print different numbers, because their authors' code differs in
what it does with equal scores, with the median of an even count, and with videos that have several captions. To
compare with a paper's row, use the rule of that paper's code; for numbers of your own, use ``expected``.

``docs/evaluation.md`` describes the rules side by side. Sources are the authors' repositories, reimplemented here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput
from . import ranking
from .metrics import retrieval_metrics
from .names import DEFAULT_RULE, T2V
from .ranking import Places
from .scores import Floats, Ints, ScoreMatrix

LEVELS = (1, 5, 10)
_DECIMALS = 4


@dataclass(frozen=True)
class Measurement:
    """What one rule makes of a score matrix in one direction.

    ``r1``, ``r5``, ``r10`` are per cent, or fractions of 1 where ``fractions`` says so; ``mdr`` and ``mnr`` count from
    1, None where the rule has none. ``counted`` is the number of samples behind them, which is not the number of
    queries under a rule that counts ties. ``at_least`` names the columns that are lower bounds.
    """

    r1: float
    r5: float
    r10: float
    mdr: float | None
    mnr: float | None
    counted: int
    fractions: bool = False
    at_least: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One way of measuring; ``t2v`` or ``v2t`` is None where that code measures one direction alone.

    ``what`` says whose rule it is and what sets it apart.
    """

    what: str
    t2v: Callable[[ScoreMatrix], Measurement]
    v2t: Callable[[ScoreMatrix], Measurement] | None

    def measure(self, matrix: ScoreMatrix, direction: str) -> Measurement:
        """The rule's numbers for ``direction``, ``t2v`` or ``v2t``.

        Raises:
            InvalidInput: a matrix or a direction that this rule's code has no answer for.
        """
        found = self.t2v if direction == T2V else self.v2t
        if found is None:
            raise InvalidInput("this rule measures text-to-video alone, as its authors' code does")
        return found(matrix)


def _measured(
    places: Places, *, median: Callable[[Any], Any] = np.median, mean: bool = True, fractions: bool = False
) -> Measurement:
    """Recalls, median and mean of places that count from 0: R@1 is place 0, R@5 is any place below 5."""
    count = len(places)
    if not count:
        raise InvalidInput("no query is left to measure: every caption's own score is NaN or infinite")
    scale = 1 if fractions else 100
    # Place 0 exactly: where ties are averaged, published code does not count a place of one half as the first.
    hits = [int((places == 0).sum()), *(int((places < k).sum()) for k in LEVELS[1:])]
    r1, r5, r10 = (scale * float(n) / count for n in hits)
    return Measurement(
        r1,
        r5,
        r10,
        float(median(places)) + 1,
        float(np.mean(places)) + 1 if mean else None,
        count,
        fractions,
    )


def _expected_t2v(matrix: ScoreMatrix) -> Measurement:
    found = retrieval_metrics(matrix.scores, matrix.target)
    return Measurement(found.r1, found.r5, found.r10, found.mdr, found.mnr, len(matrix.target))


def _expected_v2t(matrix: ScoreMatrix) -> Measurement:
    ranking.demand_numbers(matrix.scores)
    # Of n strangers and m own captions with one score, n / (m + 1) strangers come before the first own one on average.
    ranks = 1 + ranking.first_own_caption(matrix, lambda own, others: others / (own + 1))
    r1, r5, r10 = (100 * float((ranks <= k).mean()) for k in LEVELS)
    return Measurement(r1, r5, r10, float(np.median(ranks)), float(ranks.mean()), len(ranks))


def _square(matrix: ScoreMatrix) -> Floats:
    """Scores with every caption's video on the diagonal, for code that reads it there."""
    if (matrix.captions_per_video != 1).any():
        raise InvalidInput(
            "this rule's code reads the truth off the diagonal, so it needs one caption for every video: "
            "with several captions a video use the rule `clip4clip-multi`, `xpool` or `expected`"
        )
    return matrix.scores[:, matrix.target]


def _diagonal(scores: Floats, *, mean: bool = True, fractions: bool = False) -> Measurement:
    return _measured(ranking.every_tied(scores, np.arange(len(scores))), mean=mean, fractions=fractions)


def _finite_places(matrix: ScoreMatrix) -> Places:
    grouped = matrix.grouped()
    places: Places = ranking.by_torch_sort(grouped.scores, grouped.target)[np.isfinite(grouped.own)]
    return places


def _multi_t2v(matrix: ScoreMatrix) -> Measurement:
    places = _finite_places(matrix)
    found = _measured(places, median=_lower_median)
    # That code divides in torch, whose quotient of integers is a float32.
    r1, r5, r10 = (float(np.float32(100 * (places < k).sum()) / np.float32(len(places))) for k in LEVELS)
    return Measurement(r1, r5, r10, found.mdr, found.mnr, found.counted)


def _lower_median(places: NDArray[Any]) -> float:
    return float(np.sort(places)[(len(places) - 1) // 2])


def _xpool_v2t(matrix: ScoreMatrix) -> Measurement:
    best = ranking.best_of_captions(matrix.grouped())
    return _measured(ranking.by_torch_sort(best.T, np.arange(len(best))))


def _experts_t2v(places: Callable[[Floats, Ints], Places]) -> Callable[[ScoreMatrix], Measurement]:
    def t2v(matrix: ScoreMatrix) -> Measurement:
        ranking.demand_numbers(matrix.scores)
        return _measured(places(matrix.scores, matrix.target))

    return t2v


def _experts_v2t(matrix: ScoreMatrix) -> Measurement:
    ranking.demand_numbers(matrix.scores)
    return _measured(ranking.first_own_caption(matrix, lambda own, others: (own + others - 1) / 2))


def _clover_t2v(matrix: ScoreMatrix) -> Measurement:
    return _measured(ranking.by_numpy_sort(matrix.scores, matrix.target), mean=False)


def _rounded(matrix: ScoreMatrix) -> ScoreMatrix:
    # Python's own rounding, which works on the decimal number; numpy's multiplies first and can differ.
    rows = [np.array([round(score, _DECIMALS) for score in row.tolist()], np.float32) for row in matrix.scores]
    return matrix.map(np.stack(rows))


def _clipbert_t2v(matrix: ScoreMatrix) -> Measurement:
    rounded = _rounded(matrix)
    return _measured(ranking.by_torch_sort(rounded.scores, rounded.target))


def _clipbert_v2t(matrix: ScoreMatrix) -> Measurement:
    rounded = _rounded(matrix)
    # Its table from video to caption keeps one caption a video, the last.
    videos = np.flatnonzero(matrix.captions_per_video)
    last = len(matrix.target) - 1 - np.array([np.argmax(matrix.target[::-1] == video) for video in videos])
    return _measured(ranking.by_torch_sort(rounded.scores[:, videos].T, last))


def _actbert_t2v(matrix: ScoreMatrix) -> Measurement:
    places = ranking.by_numpy_sort(matrix.scores, matrix.target)
    return _measured(places, median=lambda values: np.floor(np.median(values)))


def _recalls_alone(matrix: ScoreMatrix, place: Callable[[ScoreMatrix], Places], items: int) -> Measurement:
    if items < LEVELS[-1]:
        raise InvalidInput(f"this rule takes the top {LEVELS[-1]} of {items}: it needs at least {LEVELS[-1]}")
    ranking.demand_numbers(matrix.scores)
    found = _measured(place(matrix), fractions=True)
    return Measurement(found.r1, found.r5, found.r10, None, None, found.counted, fractions=True)


def _all_in_one_t2v(matrix: ScoreMatrix) -> Measurement:
    return _recalls_alone(matrix, lambda m: ranking.by_index(m.scores, m.target), matrix.scores.shape[1])


def _all_in_one_v2t(matrix: ScoreMatrix) -> Measurement:
    return _recalls_alone(matrix, ranking.first_own_by_index, matrix.scores.shape[0])


RULES: dict[str, Rule] = {
    DEFAULT_RULE: Rule(
        "framesift's own. Equal scores give the rank expected of a random order, so a scorer gains nothing by ties; "
        "NaN is refused. v2t ranks all captions and counts the first of the video's own.",
        _expected_t2v,
        _expected_v2t,
    ),
    "clip4clip": Rule(
        "CLIP4Clip, X-CLIP, TS2-Net, DGL and STAN (STAN: t2v alone), one caption a video. Every position tied with the "
        "truth is a sample of its own, so the denominator grows; a query whose own score is not finite vanishes.",
        lambda matrix: _diagonal(_square(matrix)),
        lambda matrix: _diagonal(_square(matrix).T),
    ),
    "clip4clip-multi": Rule(
        "CLIP4Clip, X-CLIP, TS2-Net and DGL, several captions a video. t2v: ties as torch's unstable sort leaves them, "
        "the lower of two middle ranks as median, float32 recalls. v2t: the best caption stands for its video, ranked "
        "among videos, not captions; ties as in clip4clip.",
        _multi_t2v,
        lambda matrix: _diagonal(ranking.best_of_captions(matrix.grouped()).T),
    ),
    "xpool": Rule(
        "X-Pool. Ties as torch's unstable sort leaves them; a caption whose own score is not finite is dropped. v2t: "
        "the best caption stands for its video, ranked among videos, not captions.",
        lambda matrix: _measured(_finite_places(matrix)),
        _xpool_v2t,
    ),
    "frozen": Rule(
        "Frozen in Time. t2v: the truth stands first among equals, so a constant scorer is perfect. v2t: among all "
        "captions, the best own one at the mean place of its equals.",
        _experts_t2v(ranking.optimistic),
        _experts_v2t,
    ),
    "mmt": Rule(
        "MMT, after Collaborative Experts. The mean place of equals, both ways; places of a half count below the next "
        "whole K. v2t as in Frozen in Time.",
        _experts_t2v(ranking.averaged),
        _experts_v2t,
    ),
    "howto100m": Rule(
        "HowTo100M. As clip4clip, but fractions instead of per cent, no mean rank, and t2v alone.",
        lambda matrix: _diagonal(_square(matrix), mean=False, fractions=True),
        None,
    ),
    "clover": Rule(
        "Clover. Ties as numpy's unstable sort leaves them, no mean rank, t2v alone.",
        _clover_t2v,
        None,
    ),
    "clipbert": Rule(
        "ClipBERT. Scores are rounded to four decimals first, which makes ties; they stay in the order of torch's "
        "unstable sort. v2t counts the last caption of a video alone, ranked among all captions.",
        _clipbert_t2v,
        _clipbert_v2t,
    ),
    "actbert": Rule(
        "ActBERT. Ties as numpy's unstable sort leaves them, the median rounded down, t2v alone.",
        _actbert_t2v,
        None,
    ),
    "all-in-one": Rule(
        "All-in-one. Fractions, recalls alone, the lower index first among equals (its code leaves that open). v2t: "
        "whether any own caption is among the top K of all.",
        _all_in_one_t2v,
        _all_in_one_v2t,
    ),
}
