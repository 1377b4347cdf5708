"""The best rows of many scores, and the graphs that give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from framesift.export.bundle.errors import BundleError
from framesift.serving.search.onnx_scorer import OnnxScorer
from framesift.serving.search.ranking import best

from ..toy_scorer import scorer_graph


@pytest.mark.parametrize("n", [0, 1, 2, 17, 199, 200])
@pytest.mark.parametrize("levels", [1, 3, 50, 10**6])
def test_best_is_a_stable_sort_cut_short(n: int, levels: int) -> None:
    random = np.random.default_rng([n, levels])
    scores = random.integers(0, levels, 230).astype(np.float32)
    scores[random.random(230) < 0.05] = -np.inf
    np.testing.assert_array_equal(best(scores, n), np.argsort(-scores, kind="stable")[:n])


def test_a_scorer_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "scorer.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match="can't be loaded"):
        OnnxScorer(tmp_path / "scorer.onnx", 1)
    onnx.save(scorer_graph(attention="weights"), tmp_path / "scorer.onnx")
    with pytest.raises(BundleError, match="must return scores and may return attention"):
        OnnxScorer(tmp_path / "scorer.onnx", 1)
