"""The comparison of rankings must be able to fail."""

from __future__ import annotations

import numpy as np

from framesift.serving.ranking_parity import compare

IDS = ["a", "b", "c"]
REFERENCE = np.array([[0.9, 0.5, 0.1]])


def test_the_same_ranking() -> None:
    found = compare([["a", "b", "c"]], [np.array([0.9, 0.5, 0.10001])], IDS, REFERENCE)
    assert (found.equal, found.swapped, found.off) == (1, 0, 0)
    assert 0.9e-5 < found.worst < 1.1e-5


def test_another_order_a_missing_best_and_a_video_found_twice() -> None:
    for ranking in (["b", "a", "c"], ["b", "c"], ["a", "a", "b"]):
        scores = np.array([REFERENCE[0][IDS.index(name)] for name in ranking])
        assert compare([ranking], [scores], IDS, REFERENCE).equal == 0


def test_videos_closer_than_a_tie_may_change_places() -> None:
    found = compare([["b", "a"]], [np.array([0.5, 0.50005])], ["a", "b"], np.array([[0.50005, 0.5]]))
    assert (found.equal, found.swapped) == (1, 2)


def test_scores_that_are_off_are_counted() -> None:
    found = compare([["a", "b", "c"]], [np.array([0.9, 0.501, 0.1])], IDS, REFERENCE)
    assert (found.equal, found.scores, found.off, found.worst) == (1, 3, 1, 0.0)
