"""Scoring by any other system's formula: in eager PyTorch, by the exported graph, and as a served search does it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..export.bundle.ports import FRAME_MASK, SCORER
from ..export.bundle.scorers import pair_floats
from ..export.bundle.store import Bundle
from ..serving.search.onnx_scorer import OnnxScorer
from ..serving.search.rankers import ranker_of
from ..serving.search.ranking import GraphRanker
from ..serving.search.snapshot import View
from .load.records import records
from .published import Published
from .stage_attention import Engines, best_of

# Records that the model makes; a gallery holds disturbed copies of them.
_POOL = 64
_NOISE = 0.05


class Recorded:
    """Texts and a gallery in the records of the system, with float64's scores of the same records.

    Args:
        ids: token ids int64 [Q, W] of the queries.
    """

    def __init__(self, narrow: Published, wide: Published, bundle: Bundle, videos: int, ids: Tensor) -> None:
        rng = np.random.default_rng(0)
        pool = [record for batch in records(bundle, min(_POOL, videos)) for record in batch]
        chosen = rng.integers(len(pool), size=videos)
        system, self._narrow, self._wide, self._bundle = narrow.system, narrow, wide, bundle
        stored: dict[str, NDArray[Any]] = {}
        for tensor in system.video_record:
            values = np.stack([record[tensor.name] for record in pool])[chosen]
            if tensor.name != FRAME_MASK:
                values = values * (1 + _NOISE * rng.standard_normal(values.shape, np.float32))
            stored[tensor.name] = values.astype(tensor.stored)
        self._videos = {name: torch.from_numpy(values.astype(np.float32)) for name, values in stored.items()}
        self._text = narrow.encode(ids)
        self._names = [tensor.name for tensor in system.text_record]
        self._ranker, read = ranker_of(bundle.manifest, bundle.graph(SCORER))
        self._view = View(
            0,
            videos,
            [str(row) for row in range(videos)],
            {name: stored[name] for name in read},
            np.zeros((videos, bundle.manifest.frames.count), np.float32),
            np.empty(0, np.intp),
        )
        self._found: dict[int, NDArray[Any]] = {}

    def expected(self, texts: int) -> NDArray[Any]:
        """Float64's scores [Q, V] of the first ``texts`` queries; -inf outside a short list."""
        if texts not in self._found:
            videos = {name: values.double() for name, values in self._videos.items()}
            text = tuple(x[:texts].double() for x in self._text)
            self._found[texts] = self._wide.scores(text, videos).numpy()
        return self._found[texts]

    def scores(self, texts: int) -> Engines:
        """Engines that return scores [Q, V]; none where a search does not score every video."""
        if self._narrow.shortlisted:
            return {}
        scorer = OnnxScorer(self._bundle.graph(SCORER), torch.get_num_threads())
        graph = partial(
            GraphRanker(scorer, pair_floats(self._bundle.manifest)).scores, self._view, self._given(texts), texts
        )
        return {"onnxruntime": graph, "torch eager": lambda: self._formula(texts).numpy()}

    def best(self, texts: int, top: int) -> Engines:
        """Engines that return scores and rows [Q, top]."""
        text = self._given(texts)

        def served() -> tuple[NDArray[Any], NDArray[Any]]:
            ranked = self._ranker.rank(self._view, text, [top] * texts)
            return np.stack([one.scores for one in ranked]), np.stack([one.rows for one in ranked])

        return {"framesift": served, "torch eager": lambda: best_of(self._formula(texts), top)}

    def _formula(self, texts: int) -> Tensor:
        return self._narrow.scores(tuple(x[:texts] for x in self._text), self._videos)

    def _given(self, texts: int) -> dict[str, NDArray[Any]]:
        return {name: x[:texts].numpy() for name, x in zip(self._names, self._text, strict=True)}
