"""Ranking by text-conditioned attention over the top-K frames, on the GPUs of this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from ...export.bundle.manifest import Manifest
from ...export.bundle.storages import biases_of, storage_of
from ...kernels.cuda.library import CudaError
from ...kernels.topk_attention.certified.records import StepVectors
from ...kernels.topk_attention.operands import GalleryVectors, TextVectors
from .certified_ranking import SIDE, STEPS
from .following import Follower
from .onnx_scorer import Tensors
from .ranking import Ranked
from .topk_ranking import Best, TopKRanker, head_of
from .view import View

if TYPE_CHECKING:
    from ...kernels.topk_attention.divided import DividedGallery
    from ...kernels.topk_attention.resident import Source

_log = logging.getLogger(__name__)


class DeviceRanker(TopKRanker):
    """Ranks with a copy of the gallery on devices; without it once the gallery has outgrown them, or one fails.

    Args:
        processor: ranks then, and small parts.
    """

    def __init__(self, manifest: Manifest, processor: TopKRanker, gallery: DividedGallery) -> None:
        super().__init__(manifest)
        self._processor, self._gallery = processor, gallery
        self.counts = processor.counts
        self._follower = Follower()
        self._failed = False

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``; the attention on the few winners is computed on the CPU."""
        if len(view.timestamps) and not self._failed:
            held = _held(view, self.operands(view, text)[1])
            try:
                self._follower.follow(view, lambda anew: self._gallery.follow(held, anew=anew))
            except CudaError as error:
                self._give_up(error)
        return super().rank(view, text, tops)

    def best(self, view: View, vectors: TextVectors, gallery: GalleryVectors, most: int) -> Best:
        """As ``TopKRanker.best``."""
        if not self._failed and self._follower.searches(view):
            try:
                found = self._gallery.search(vectors, _held(view, gallery), min(most, view.count), view.live())
                # Fewer are found where a record's numbers are none that a model makes.
                if (found.rows >= 0).all():
                    scored = np.full(len(vectors.logit), found.scored) if self.counts else None
                    return found.scores, found.rows, scored
            except CudaError as error:
                self._give_up(error)
        return self._processor.best(view, vectors, gallery, most)

    def _give_up(self, error: CudaError) -> None:
        # A context that failed once fails until its process ends.
        _log.error("a GPU failed, and the processor searches until this model is loaded again: %s", error)
        self._failed = True


def on_devices(manifest: Manifest, processor: TopKRanker) -> TopKRanker:
    """A ranker on all visible GPUs, whose kernels are compiled; ``processor`` where there is none that can."""
    if find_spec("triton") is None:
        _log.warning("the processor searches: the GPU's kernels need triton (pip install 'framesift[gpu]')")
        return processor
    from ...kernels.topk_attention.divided import gallery_on_gpus

    try:
        gallery = gallery_on_gpus(head_of(manifest), biases_of(manifest) if storage_of(manifest) == "int8" else None)
        if gallery is None:
            _log.warning("the processor searches: NVIDIA's driver shows no GPU to this process")
            return processor
        gallery.prepare()
    # A compiler's errors are of many classes.
    except Exception as error:
        _log.error("the processor searches, because a GPU can't: %s", str(error)[:400])
        return processor
    return DeviceRanker(manifest, processor, gallery)


def _held(view: View, gallery: GalleryVectors) -> Source:
    from ...kernels.topk_attention.resident import Source

    steps = StepVectors(view.tensors[STEPS], view.tensors[SIDE]) if STEPS in view.tensors else None
    return Source(gallery, steps)
