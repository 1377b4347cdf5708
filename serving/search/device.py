"""Ranking by text-conditioned attention over the top-K frames, on a device that torch knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...export.bundle.manifest import Manifest
from ...kernels.topk_attention.device_memory import NoRoom
from ...kernels.topk_attention.operands import GalleryVectors, TextVectors
from .onnx_scorer import Tensors
from .ranking import Ranked
from .topk_ranking import Best, TopKRanker
from .view import View

if TYPE_CHECKING:
    from ...kernels.topk_attention.resident import ResidentGallery

_log = logging.getLogger(__name__)
# So few rows are scored by the CPU while a device reads its whole gallery.
_FEW = 1024


class DeviceRanker(TopKRanker):
    """Ranks with a copy of the gallery on a device; without it once the gallery has outgrown the device."""

    def __init__(self, manifest: Manifest, resident: ResidentGallery) -> None:
        super().__init__(manifest)
        self._resident = resident
        self._followed: Sequence[str] | None = None
        # Rows that were too many.
        self._outgrown: int | None = None

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``; the attention on the few winners is computed on the CPU."""
        if len(view.timestamps):
            self._follow(view, text)
        return super().rank(view, text, tops)

    def best(self, view: View, vectors: TextVectors, gallery: GalleryVectors, most: int) -> Best:
        """As ``TopKRanker.best``."""
        if self._outgrown is not None or (view.chosen is not None and view.count <= _FEW):
            return super().best(view, vectors, gallery, most)
        return *self._resident.search(vectors, self.shape, min(most, view.count), view.live()), None

    def _follow(self, view: View, text: Tensors) -> None:
        if self._outgrown is not None and len(view.timestamps) >= self._outgrown:
            return
        # A new list of ids means that removed rows were dropped.
        anew = self._outgrown is not None or view.ids is not self._followed
        try:
            self._resident.follow(self.operands(view, text)[1], anew=anew)
        except NoRoom as error:
            _log.error("the processor searches from now on: %s", error)
            self._outgrown = len(view.timestamps)
        else:
            self._followed, self._outgrown = view.ids, None
