"""Metrics of answers that are cut off, against those of the whole ranking."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidInput
from framesift.export.evaluation.rules import RULES
from framesift.export.evaluation.scores import ScoreMatrix
from framesift.export.evaluation.truncated import truncated_t2v


def cut(scores: np.ndarray, videos: int, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What an answer of ``top`` hits holds of the first ``videos`` columns, and its last hit's score."""
    lowest = np.sort(scores, axis=1)[:, -min(top, scores.shape[1])]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    seen = np.zeros(scores.shape, bool)
    np.put_along_axis(seen, order, True, axis=1)
    return np.where(seen, scores, -np.inf)[:, :videos], seen[:, :videos], lowest


@pytest.mark.parametrize("seed", range(8))
def test_recalls_are_exact_and_the_rest_says_where_it_is_a_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery, videos, top = 60, 90, 80, 50
    target = rng.integers(0, videos, queries)
    scores = rng.permutation(queries * gallery).reshape(queries, gallery) / 1e4
    scores[np.arange(queries), target] += rng.choice([0, 0.5], queries, p=[0.5, 0.5])
    exact = RULES["expected"].measure(ScoreMatrix(scores[:, :videos], target), "t2v")
    kept, seen, lowest = cut(scores, videos, top)
    found = truncated_t2v(ScoreMatrix(kept, target), seen, lowest)
    assert (found.r1, found.r5, found.r10) == (exact.r1, exact.r5, exact.r10)
    assert found.mnr <= exact.mnr
    assert ("MnR" in found.at_least) == (not seen[np.arange(queries), target].all())
    if "MdR" in found.at_least:
        assert found.mdr <= exact.mdr
    else:
        assert found.mdr == exact.mdr


def test_an_answer_that_holds_everything_is_no_bound() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 30))
    target = rng.integers(0, 30, 20)
    # The last hit of a whole ranking still counts as a possible tie with what lies behind it, so none is searched for.
    scores[np.arange(20), target] += 5
    kept, seen, lowest = cut(scores, 30, 30)
    assert truncated_t2v(ScoreMatrix(kept, target), seen, lowest).at_least == ()


def test_a_tie_with_the_last_hit_is_a_bound() -> None:
    scores = np.tile(np.linspace(1, 0, 40), (3, 1))
    scores[:, 19:25] = scores[:, 19:20]
    kept, seen, lowest = cut(scores, 40, 22)
    found = truncated_t2v(ScoreMatrix(kept, np.array([0, 1, 20])), seen, lowest)
    assert found.at_least == ("MnR",)
    assert found.mdr == 2.0


def test_a_median_among_the_missing_is_a_bound() -> None:
    scores = np.tile(np.linspace(1, 0, 40), (3, 1))
    kept, seen, lowest = cut(scores, 40, 20)
    found = truncated_t2v(ScoreMatrix(kept, np.array([0, 30, 31])), seen, lowest)
    assert found.at_least == ("MdR", "MnR")
    assert (found.mdr, found.mnr, found.r10) == (21.0, pytest.approx(43 / 3), pytest.approx(100 / 3))


def test_too_few_of_the_videos_in_an_answer_are_an_error() -> None:
    scores = np.tile(np.linspace(1, 0, 40), (2, 1))
    # The better half of the gallery does not count, and five of the other half are left in an answer of 25.
    mixed = np.concatenate([scores[:, 20:], scores[:, :20]], axis=1)
    kept, seen, lowest = cut(mixed, 20, 25)
    with pytest.raises(InvalidInput, match="R@10 stays open"):
        truncated_t2v(ScoreMatrix(kept, np.array([0, 15])), seen, lowest)
