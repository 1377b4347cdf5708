"""Ranking by text-conditioned attention over the top-K frames, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from ...kernels.topk_attention.cpu import search
from ...kernels.topk_attention.layout import HeadShape
from ...kernels.topk_attention.portable import attention
from ...kernels.topk_attention.records import GalleryVectors, TextVectors
from .ranking import Ranked
from .scorer import Tensors
from .snapshot import View

SCORER = "topk_attention"


class TopKRanker:
    """Ranks with ``kernels.topk_attention``: one scan of the gallery for all texts, which returns the best alone."""

    def __init__(self, manifest: Manifest) -> None:
        config = manifest.config
        self._shape = HeadShape(manifest.frames.count, manifest.embed_dim, config["top_k"], config["heads"])

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``."""
        frames = view.timestamps.shape[1]
        if not view.count:
            empty = np.empty(0, np.float32)
            return [Ranked(np.empty(0, np.intp), empty, np.empty((0, frames), np.float32)) for _ in tops]
        vectors = TextVectors(*(text[name] for name in (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)))
        gallery = GalleryVectors(view.tensors[FRAME_VECTORS], view.tensors[GRAM_TABLE])
        live = None
        if len(view.dead):
            live = np.ones(len(gallery), np.bool_)
            live[view.dead] = False
        scores, rows = search(vectors, gallery, self._shape, max(tops), live=live)
        ranked = []
        for q, top in enumerate(tops):
            winners = rows[q, :top]
            one = TextVectors(vectors.logit[q : q + 1], vectors.readout[q : q + 1], vectors.scalars[q : q + 1])
            ranked.append(Ranked(winners, scores[q, :top], attention(one, gallery, self._shape, winners)[0]))
        return ranked
