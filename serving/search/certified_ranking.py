"""Ranking by text-conditioned attention from int8 steps: what the float16 ranking finds, to the bit."""

from __future__ import annotations

from ...export.bundle.errors import BundleError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE
from ...export.bundle.spec import TensorSpec
from ...export.bundle.storages import biases_of, storage_of
from ...kernels.topk_attention.certified.encode import encode
from ...kernels.topk_attention.certified.records import StepVectors, side_rows
from ...kernels.topk_attention.certified.search import search
from ...kernels.topk_attention.layout import LANES
from ...kernels.topk_attention.native import available
from ...kernels.topk_attention.operands import GalleryVectors, TextVectors
from .derived import NOTHING, Arrays, Derived
from .topk_ranking import Best, TopKRanker, head_of
from .view import View

STEPS, SIDE = "steps", "side"


class CertifiedRanker(TopKRanker):
    """Reads the steps of a view whose snapshot has them ``derived``, and few videos' frames."""

    counts = True

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self._biases = biases_of(manifest)

    def best(self, view: View, vectors: TextVectors, gallery: GalleryVectors, most: int) -> Best:
        """As ``TopKRanker.best``."""
        steps = StepVectors(view.tensors[STEPS], view.tensors[SIDE])
        found = search(vectors, gallery, steps, self.shape, self._biases, most, **view.searched())
        return found.scores, found.rows, found.rescored


def derived_of(manifest: Manifest) -> Derived:
    """What a deployment's gallery keeps beside its records.

    Raises:
        BundleError: a storage that this model's gallery can't have, or not here.
    """
    if storage_of(manifest) != "int8":
        return NOTHING
    shape, biases = head_of(manifest), biases_of(manifest)
    if available(shape) is None:
        raise BundleError(
            f"int8 storage needs the compiled scorer, which can't run {shape} here: serve with float16, or, with a C "
            "compiler, AVX2 and a width that 16 divides, install framesift again"
        )

    def make(record: Arrays) -> Arrays:
        steps, side = encode(record[FRAME_VECTORS], record[GRAM_TABLE], shape, biases)
        return {STEPS: steps, SIDE: side}

    specs = (
        TensorSpec(STEPS, "uint8", (shape.frames + 1, shape.width)),
        TensorSpec(SIDE, "float32", (side_rows(shape.frames),)),
    )
    return Derived(f"steps 1 {shape} {biases}", specs, {SIDE: LANES}, make)
