"""Ranking by text-conditioned attention over the top-K frames, on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import BundleError
from ...export.bundle.limits import MAX_PAGED
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from ...kernels.topk_attention.cpu import attention, search
from ...kernels.topk_attention.layout import HeadShape
from ...kernels.topk_attention.operands import GalleryVectors, TextVectors
from .onnx_scorer import Floats, Tensors
from .ranking import Ranked, spread
from .view import View

# Scores float32 and rows int64 [Q, n], and how many videos were scored for them [Q]; None where all are.
Best = tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64] | None]

_log = logging.getLogger(__name__)
# A score is a cosine, and no storage rounds it so far beyond one.
_LARGEST = 1.05


class TopKRanker:
    """Ranks with ``kernels.topk_attention``: one scan of the gallery for all texts, which returns the best alone.

    A video whose score no record of the model can have is left out. Its table was made to rank first: what a table must
    be follows from weights that the gallery doesn't have, so it can't be checked before.
    """

    text_names: ClassVar[tuple[str, ...]] = (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)
    short: ClassVar[bool] = False
    # Whether it tells how many videos it scored.
    counts: bool = False

    def __init__(self, manifest: Manifest) -> None:
        self.shape = head_of(manifest)
        self._forged: set[int] = set()
        self._ids: Sequence[str] | None = None

    def reach(self, top: int) -> int:
        """As ``ranking.Ranker.reach``: all videos."""
        return MAX_PAGED

    def spread(self, top: int) -> int:
        """As ``ranking.Ranker.spread``."""
        return spread(top)

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``."""
        forged = self.forged(view)
        while (left := view.without(forged)).count:
            vectors, gallery = self.operands(view, text)
            scores, rows, rescored = self.best(left, vectors, gallery, max(tops))
            # A score that is not a number is no record's either.
            beyond = set(rows[~(scores <= _LARGEST)].tolist())
            if not beyond:
                weights = attention(vectors, gallery, self.shape, rows)
                counts = [None] * len(tops) if rescored is None else rescored.tolist()
                return [
                    Ranked(rows[q, :top], scores[q, :top], weights[q, :top], counts[q]) for q, top in enumerate(tops)
                ]
            forged |= beyond
            for row in sorted(beyond):
                _log.error(
                    "%r is left out: its score is beyond 1, which no record of this model can have. Remove it",
                    view.ids[row],
                )
        weights = np.empty((0, self.shape.frames), np.float32)
        return [Ranked(np.empty(0, np.intp), np.empty(0, np.float32), weights, 0 if self.counts else None)] * len(tops)

    def forged(self, view: View) -> set[int]:
        """The rows that were left out of this gallery before."""
        # Rows never change while the list of ids is the same object.
        if view.ids is not self._ids:
            self._forged, self._ids = set(), view.ids
        return self._forged

    def best(self, view: View, vectors: TextVectors, gallery: GalleryVectors, most: int) -> Best:
        """The ``most`` best videos of the view for each query, or all, where there are fewer."""
        return *search(vectors, gallery, self.shape, most, **view.searched()), None

    def operands(self, view: View, text: Tensors) -> tuple[TextVectors, GalleryVectors]:
        """The texts and the view as the scorers take them."""
        return self.texts(text), GalleryVectors(view.tensors[FRAME_VECTORS], view.tensors[GRAM_TABLE])

    def texts(self, text: Tensors) -> TextVectors:
        """The texts alone."""
        return TextVectors(*(np.ascontiguousarray(text[name]) for name in self.text_names))


def head_of(manifest: Manifest) -> HeadShape:
    """The sizes of a bundle's attention.

    Raises:
        BundleError: the manifest does not tell them, or tells what can't be.
    """
    options, frames = manifest.options, manifest.frame_count
    if "heads" not in options:
        raise BundleError("the manifest does not say how many heads the attention has: export the model again")
    # X-Pool keeps every frame, so its checkpoints name no K.
    top_k, heads = options.get("top_k", frames), options["heads"]
    try:
        return HeadShape(frames, manifest.embed_dim, top_k, heads)
    except (ValueError, TypeError) as error:
        raise BundleError(f"the manifest's attention can't be: {str(error)[:200]}. Export the model again") from error
