"""Ranking by text-conditioned attention over the top-K frames, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import BundleError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from ...kernels.topk_attention.cpu import attention, search
from ...kernels.topk_attention.layout import HeadShape
from ...kernels.topk_attention.operands import GalleryVectors, TextVectors
from .onnx_scorer import Floats, Tensors
from .ranking import Ranked
from .snapshot import View


class TopKRanker:
    """Ranks with ``kernels.topk_attention``: one scan of the gallery for all texts, which returns the best alone."""

    text_names: ClassVar[tuple[str, ...]] = (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)

    def __init__(self, manifest: Manifest) -> None:
        options, frames = manifest.options, manifest.frame_count
        if "heads" not in options:
            raise BundleError("the manifest does not say how many heads the attention has: export the model again")
        # X-Pool keeps every frame, so its checkpoints name no K.
        top_k, heads = options.get("top_k", frames), options["heads"]
        try:
            self.shape = HeadShape(frames, manifest.embed_dim, top_k, heads)
        except (ValueError, TypeError) as error:
            raise BundleError(
                f"the manifest's attention can't be: {str(error)[:200]}. Export the model again"
            ) from error

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``."""
        if not view.count:
            nothing = Ranked(
                np.empty(0, np.intp), np.empty(0, np.float32), np.empty((0, self.shape.frames), np.float32)
            )
            return [nothing] * len(tops)
        vectors, gallery = self.operands(view, text)
        live = None
        if len(view.dead):
            live = np.ones(len(gallery), np.bool_)
            live[view.dead] = False
        scores, rows = search(vectors, gallery, self.shape, max(tops), live=live)
        return self.ranked(vectors, gallery, scores, rows, tops)

    def operands(self, view: View, text: Tensors) -> tuple[TextVectors, GalleryVectors]:
        """The texts and the view as the scorers take them."""
        vectors = TextVectors(*(np.ascontiguousarray(text[name]) for name in self.text_names))
        return vectors, GalleryVectors(view.tensors[FRAME_VECTORS], view.tensors[GRAM_TABLE])

    def ranked(
        self,
        vectors: TextVectors,
        gallery: GalleryVectors,
        scores: Floats,
        rows: npt.NDArray[np.int64],
        tops: Sequence[int],
    ) -> list[Ranked]:
        """The ``tops[q]`` first winners of every query, with its attention on their frames."""
        weights = attention(vectors, gallery, self.shape, rows)
        return [Ranked(rows[q, :top], scores[q, :top], weights[q, :top]) for q, top in enumerate(tops)]
