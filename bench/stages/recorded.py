"""Scoring by a system's exported graph, and by the compiled scan that a served search has in its place."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from ...export.bundle.ports import SCORER
from ...export.bundle.scorers import pair_floats
from ...serving.search.compiled import CompiledRanker
from ...serving.search.onnx_scorer import OnnxScorer
from ...serving.search.ranking import GraphRanker
from .case import NATIVE, ONNX, OURS, Engines
from .scored import Floats, Scored


class Recorded(Scored):
    """As ``Scored``."""

    def scorers(self, texts: int) -> Engines:
        """As ``Scored.scorers``."""
        text, threads = self.texts(texts), torch.get_num_threads()
        graph = GraphRanker(OnnxScorer(self.bundle.graph(SCORER), threads), pair_floats(self.bundle.manifest))
        found: Engines = {ONNX: partial(graph.scores, self.view, text, texts)}
        if isinstance(self.ranker, CompiledRanker):
            scan = self.ranker.make(text, self.view.tensors)
            found[NATIVE] = partial(scan.score, self.ranker.library, threads=threads)
        return found

    def searches(self, texts: int, top: int) -> Engines:
        """As ``Scored.searches``."""
        text = self.texts(texts)

        def served() -> tuple[Floats, Floats]:
            ranked = self.ranker.rank(self.view, text, [top] * texts)
            return np.stack([one.scores for one in ranked]), np.stack([one.rows for one in ranked])

        return {OURS: served}
