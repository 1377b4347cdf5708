"""Ranking by text-conditioned attention over the top-K frames, on a device that torch knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...export.bundle.manifest import Manifest
from .onnx_scorer import Tensors
from .ranking import Ranked
from .snapshot import View
from .topk_ranking import TopKRanker

if TYPE_CHECKING:
    from ...kernels.topk_attention.resident import ResidentGallery


class DeviceRanker(TopKRanker):
    """Ranks with a copy of the gallery on a device."""

    def __init__(self, manifest: Manifest, resident: ResidentGallery) -> None:
        super().__init__(manifest)
        self._resident = resident
        self._ids: Sequence[str] | None = None

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``; the attention on the few winners is computed on the CPU."""
        # A part of the gallery is another one's copy.
        if not view.count or view.part:
            return super().rank(view, text, tops)
        vectors, gallery = self.operands(view, text)
        # Rows never change while the list of ids is the same object; a new list means that removed rows were dropped.
        self._resident.follow(gallery, anew=view.ids is not self._ids)
        self._ids = view.ids
        scores, rows = self._resident.search(vectors, self.shape, min(max(tops), view.count), view.dead)
        return self.ranked(vectors, gallery, scores, rows, tops)
