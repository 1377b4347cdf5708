"""Metrics on matrices whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.export.evaluation.metrics import ranks, retrieval_metrics


def test_known_ranks() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [9.0, 8.0, 7.0], [1.0, 5.0, 3.0]])
    assert ranks(scores, range(3)).tolist() == [1, 2, 2]
    assert ranks(scores, [2, 0, 0]).tolist() == [3, 1, 3]
    found = retrieval_metrics(scores)
    assert (found.r1, found.r5, found.r10, found.mdr, found.mnr) == pytest.approx((100 / 3, 100, 100, 2, 5 / 3))


def test_a_constant_scorer_gains_nothing() -> None:
    metrics = retrieval_metrics(np.zeros((101, 101)))
    assert (metrics.r1, metrics.r10, metrics.mdr, metrics.mnr) == (0.0, 0.0, 51.0, 51.0)


def test_adding_a_number_or_scaling_changes_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(40, 40))
    assert retrieval_metrics(scores) == retrieval_metrics(3 * scores + 2)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        retrieval_metrics(np.array([[1.0, np.nan], [0.0, 1.0]]))
