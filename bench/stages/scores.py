"""The cases of scoring: scores and the best of them, and when an engine's are as good as float64's."""

from __future__ import annotations

import numpy as np
import torch

from ...export.parity_rows import SWAP_LIMIT
from ...serving.ranking_parity import TIE
from .case import EAGER, SCORE, TOP, TOP_N, Case, Spec
from .scored import Floats, Scored, best_of


def score_case(spec: Spec, given: Scored) -> Case | None:
    """Engines and their check for one stage; None where a search of this system has no such stage."""
    expected = given.expected(spec.batch)
    if spec.stage == TOP_N:
        scores = torch.from_numpy(expected.astype(np.float32))
        engines = {EAGER: lambda: best_of(scores, TOP), "numpy": lambda: _partitioned(scores.numpy())}
        return Case(spec, engines, lambda found: _ranking_fault(found, expected))
    if spec.stage == SCORE:
        scoring = given.scores(spec.batch)
        return Case(spec, scoring, lambda found: _score_fault(found, expected)) if scoring else None
    return Case(spec, given.best(spec.batch, TOP), lambda found: _ranking_fault(found, expected))


def _partitioned(scores: Floats) -> tuple[Floats, Floats]:
    rows = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
    best = np.take_along_axis(scores, rows, 1)
    order = np.argsort(-best, axis=1)
    return np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)


def _tie(expected: Floats) -> float:
    """Scores this close are equal: rounding is relative, and some systems' scores are as large as their temperature."""
    return TIE * max(1.0, float(np.abs(expected[np.isfinite(expected)]).max()))


def _score_fault(found: Floats, expected: Floats) -> str | None:
    """Pairs whose score is off by more than a tie must be as few as where rounding turned two equal logits."""
    off, tie = np.abs(found - expected), _tie(expected)
    share = float(np.mean(~(off <= tie)))
    return (
        None if share <= SWAP_LIMIT else f"{share:.2%} of the scores differ by more than {tie:g}, up to {off.max():.1e}"
    )


def _ranking_fault(found: tuple[Floats, Floats], expected: Floats) -> str | None:
    scores, rows = found
    best, tie = -np.sort(-expected, axis=1)[:, :TOP], _tie(expected)
    mine = np.take_along_axis(expected, rows, 1)
    worst = float(max(np.abs(mine - best).max(), np.abs(scores - mine).max()))
    return None if worst <= tie else f"the ten best differ from float64's by up to {worst:.1e}, {tie:g} is allowed"
