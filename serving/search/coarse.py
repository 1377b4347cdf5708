"""The coarse stage of a search: which scorers can have one, what it keeps of a video, and how it finds candidates.

A coarse video is the averages of a few groups of neighbouring frames, a record that the scorer's own scan reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import BundleError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, FRAME_VECTORS, GRAM_TABLE
from ...export.bundle.spec import TensorSpec
from ...kernels.averages import averages
from ...kernels.lanes import read_rows
from ...kernels.topk_attention import cpu
from ...kernels.topk_attention.coarse import coarser, encode
from ...kernels.topk_attention.layout import LANES
from ...kernels.topk_attention.operands import GalleryVectors
from ...kernels.walk import Rows
from .columns import Columns
from .compiled import CompiledRanker
from .derived import Arrays, Derived
from .onnx_scorer import Floats, Tensors
from .ranking import Ranker
from .topk_ranking import TopKRanker
from .view import View

_PREFIX = "coarse_"
# Videos that are averaged at once.
_PIECE = 4096


class Stage(Protocol):
    """Coarse scores of the videos of a view whose snapshot has what is ``derived``."""

    derived: Derived

    def best(self, view: View, text: Tensors, n: int) -> Rows:
        """The rows [Q, n] of each text's best coarse videos, or of all where there are fewer."""
        ...

    def scores(self, view: View, text: Tensors) -> Floats:
        """The coarse scores [Q, R] of the view's ``rows``."""
        ...


def stage_of(manifest: Manifest, ranker: Ranker, frames: int) -> Stage:
    """The coarse stage before the exact ranking by ``ranker``, of so many averages a video.

    Raises:
        BundleError: the scorer can't have one, here or at all, or has no more frames.
    """
    count = manifest.frame_count or 1
    if not 1 <= frames < count:
        raise BundleError(f"a coarse stage of {frames} of {count} frames can't be: calibrate the gallery again")
    if isinstance(ranker, TopKRanker):
        return _Attention(ranker, frames)
    if isinstance(ranker, CompiledRanker):
        return _Scanned(manifest, ranker, frames)
    raise BundleError(
        f"the coarse stage of {manifest.scorer} needs the compiled scan, which does not stand for this bundle's scorer "
        "here: serve without --coarse, or, with a C compiler and AVX2, install framesift again"
    )


def row_bytes(stage: Stage) -> int:
    """Bytes of a video that the coarse stage reads."""
    return sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in stage.derived.specs)


def coarse_view(view: View, stage: Stage, lanes: Mapping[str, int]) -> View:
    """The same rows, with what the stage reads beside their tensors, as a snapshot would keep it.

    Args:
        lanes: as of the snapshot.
    """
    derived, rows = stage.derived, len(view.timestamps)
    columns = Columns(derived.specs, derived.lanes)
    columns.reserve(rows)
    for start in range(0, rows, _PIECE):
        places = np.arange(start, min(start + _PIECE, rows))
        record = {
            name: read_rows(values, places) if name in lanes else values[places]
            for name, values in view.tensors.items()
        }
        columns.append(derived.make(record))
    return replace(view, tensors={**view.tensors, **columns.views()})


class _Attention:
    """By text-conditioned attention over the averages."""

    def __init__(self, ranker: TopKRanker, frames: int) -> None:
        self._ranker, shape = ranker, ranker.shape
        self._shape = coarse = coarser(shape, frames)

        def make(record: Arrays) -> Arrays:
            vectors, tables = encode(record[FRAME_VECTORS], record[GRAM_TABLE], shape, coarse)
            return {_PREFIX + FRAME_VECTORS: vectors, _PREFIX + GRAM_TABLE: tables}

        specs = (
            TensorSpec(_PREFIX + FRAME_VECTORS, "float16", (coarse.streams, frames, coarse.width)),
            TensorSpec(_PREFIX + GRAM_TABLE, "float32", (coarse.rows,)),
        )
        self.derived = Derived(f"averages 1 {coarse}", specs, {_PREFIX + GRAM_TABLE: LANES}, make)

    def best(self, view: View, text: Tensors, n: int) -> Rows:
        left = view.without(self._ranker.forged(view))
        return cpu.search(self._ranker.texts(text), self._gallery(view), self._shape, n, **left.searched())[1]

    def scores(self, view: View, text: Tensors) -> Floats:
        return cpu.score(self._ranker.texts(text), self._gallery(view), self._shape, rows=view.rows())

    @staticmethod
    def _gallery(view: View) -> GalleryVectors:
        return GalleryVectors(view.tensors[_PREFIX + FRAME_VECTORS], view.tensors[_PREFIX + GRAM_TABLE])


class _Scanned:
    """By the scan of a scorer of plain vectors, over averages of the frames that count."""

    def __init__(self, manifest: Manifest, ranker: CompiledRanker, frames: int) -> None:
        self._ranker, self._weights = ranker, averages(manifest.frame_count, frames)
        specs = [TensorSpec(_PREFIX + FRAME_EMBEDDINGS, "float16", (frames, manifest.embed_dim))]
        if ranker.weigh is not None:
            specs.append(TensorSpec(_PREFIX + FRAME_MASK, "float16", (frames,)))
        self.derived = Derived(f"averages 1 {frames} {manifest.frame_count}", specs, {}, self._averaged)

    def best(self, view: View, text: Tensors, n: int) -> Rows:
        return self._ranker.make(text, self._records(view)).search(self._ranker.library, n, **view.searched())[1]

    def scores(self, view: View, text: Tensors) -> Floats:
        return self._ranker.make(text, self._records(view)).score(self._ranker.library, rows=view.rows())

    def _averaged(self, record: Arrays) -> Arrays:
        vectors = record[FRAME_EMBEDDINGS].astype(np.float32)
        counts = (record[FRAME_MASK] != 0) if FRAME_MASK in record else np.ones(vectors.shape[:2], np.bool_)
        weights = self._weights * counts[:, None]
        shares = weights.sum(-1, keepdims=True)
        with np.errstate(over="ignore", invalid="ignore"):
            made = np.matmul(weights / np.maximum(shares, np.float32(1e-6)), vectors).astype(np.float16)
        found: dict[str, npt.NDArray[Any]] = {_PREFIX + FRAME_EMBEDDINGS: made}
        if FRAME_MASK in record:
            found[_PREFIX + FRAME_MASK] = (shares[..., 0] > 0).astype(np.float16)
        return found

    @staticmethod
    def _records(view: View) -> Mapping[str, npt.NDArray[Any]]:
        return {name.removeprefix(_PREFIX): values for name, values in view.tensors.items() if name.startswith(_PREFIX)}
