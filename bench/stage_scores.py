"""Scores and the best of them, as the published formula has them and as framesift computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..export.parity_rows import SWAP_LIMIT
from ..serving.ranking_parity import TIE
from .stage_attention import Engines, best_of

SCORE, SCORE_AND_TOP, TOP_N = "score", "score+top-n", "top-n"
SCORING = (SCORE, SCORE_AND_TOP, TOP_N)
TOP = 10

Floats = NDArray[Any]
Made = tuple[Mapping[str, Callable[[], Any]], Callable[[Any], str | None]]


class Given(Protocol):
    """Texts and a gallery that several engines can score."""

    def expected(self, texts: int) -> Floats: ...

    def scores(self, texts: int) -> Engines: ...

    def best(self, texts: int, top: int) -> Engines: ...


def score_case(stage: str, given: Given, texts: int) -> Made | None:
    """Engines and their check for one stage; None where a search of this system has no such stage."""
    expected = given.expected(texts)
    if stage == TOP_N:
        scores = torch.from_numpy(expected.astype(np.float32))
        engines = {"torch eager": lambda: best_of(scores, TOP), "numpy": lambda: _partitioned(scores.numpy())}
        return engines, lambda found: _ranking_fault(found, expected)
    if stage == SCORE:
        scoring = given.scores(texts)
        return (scoring, lambda found: _score_fault(found, expected)) if scoring else None
    return given.best(texts, TOP), lambda found: _ranking_fault(found, expected)


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
