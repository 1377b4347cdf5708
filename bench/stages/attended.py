"""Scoring by text-conditioned attention: the exported graph, and framesift's own scans on CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...export.bundle.ports import SCORER
from ...export.bundle.sessions import cpu_session
from ...kernels.topk_attention import api, cpu, native
from ...serving.search.topk_ranking import TopKRanker
from .case import NATIVE, ONNX, Engines
from .scored import MOST_TEXTS, Floats, Scored

# Pairs of one call of the scorer's graph.
_PAIRS = 1 << 16


class Attended(Scored):
    """As ``Scored``; best videos come from one pass, in which scores are never written down."""

    def scorers(self, texts: int) -> Engines:
        """As ``Scored.scorers``."""
        return {**self._cpu(cpu.score, texts), ONNX: self._graph(texts), **self._cuda(texts, api.score)}

    def searches(self, texts: int, top: int) -> Engines:
        """As ``Scored.searches``."""
        return {**self._cpu(cpu.search, texts, top), **self._cuda(texts, partial(api.search, n=top))}

    @property
    def _topk(self) -> TopKRanker:
        assert isinstance(self.ranker, TopKRanker)
        return self.ranker

    def _cpu(self, call: Callable[..., Any], texts: int, *more: int) -> Engines:
        vectors, gallery = self._topk.operands(self.view, self.texts(texts))
        shape = self._topk.shape
        names = ["numpy"] if native.available(shape) is None else [NATIVE, "numpy"]
        return {name: partial(call, vectors, gallery, shape, *more, impl=name) for name in names}

    def _graph(self, texts: int) -> Callable[[], Floats]:
        session = cpu_session(self.bundle.graph(SCORER), torch.get_num_threads())
        text = self.texts(texts)
        names = [port.name for port in session.get_inputs()]
        fixed = {name: text[name] for name in names if name in text}
        block = _PAIRS // MOST_TEXTS
        parts = [
            {**fixed, **{name: self.record[name][start : start + block] for name in names if name not in text}}
            for start in range(0, self.view.count, block)
        ]

        def run() -> Floats:
            return np.concatenate([session.run(None, part)[0] for part in parts], axis=1)

        return run

    def _cuda(self, texts: int, call: Callable[..., Any]) -> Engines:
        """The fused Triton kernels, where there is a GPU: the gallery lies there, results come back."""
        if not torch.cuda.is_available():
            return {}
        vectors, gallery = self._topk.operands(self.view, self.texts(texts))
        shape = self._topk.shape
        given = (vectors.logit, vectors.readout, vectors.scalars, gallery.frames, gallery.tables)
        tensors = [torch.from_numpy(np.asarray(x)).cuda() for x in given]

        def run() -> Any:
            found = call(*tensors, top_k=shape.top_k, heads=shape.heads, check_gallery=False)
            return found.cpu().numpy() if isinstance(found, Tensor) else tuple(x.cpu().numpy() for x in found)

        return {"Triton kernel, CUDA": run}
