"""Scoring by a system's exported graph, as a served search does it."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from ...export.bundle.ports import SCORER
from ...export.bundle.scorers import pair_floats
from ...serving.search.onnx_scorer import OnnxScorer
from ...serving.search.ranking import GraphRanker
from .case import ONNX, OURS, Engines
from .scored import Floats, Scored


class Recorded(Scored):
    """As ``Scored``."""

    def scorers(self, texts: int) -> Engines:
        """As ``Scored.scorers``."""
        scorer = OnnxScorer(self.bundle.graph(SCORER), torch.get_num_threads())
        ranker = GraphRanker(scorer, pair_floats(self.bundle.manifest))
        return {ONNX: partial(ranker.scores, self.view, self.texts(texts), texts)}

    def searches(self, texts: int, top: int) -> Engines:
        """As ``Scored.searches``."""
        text = self.texts(texts)

        def served() -> tuple[Floats, Floats]:
            ranked = self.ranker.rank(self.view, text, [top] * texts)
            return np.stack([one.scores for one in ranked]), np.stack([one.rows for one in ranked])

        return {OURS: served}
