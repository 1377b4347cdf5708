"""Ranking by a compiled scan of the gallery, for the scorers of plain vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...export.bundle.limits import MAX_PAGED
from ...kernels.library import Library
from ...kernels.pairs import PairsScan
from .onnx_scorer import Floats, Tensors
from .ranking import Ranked, spread
from .view import View

MakeScan = Callable[[Tensors, Tensors], PairsScan]
Weigh = Callable[[Tensors, Tensors], Floats]


@dataclass(frozen=True)
class CompiledRanker:
    """Ranks with the scan that ``make`` makes of texts and a gallery, in one pass for all texts.

    Attributes:
        weigh: the attention float32 [n, F] of one text on the frames of n videos, where the scorer has any.
    """

    library: Library
    make: MakeScan
    weigh: Weigh | None = None
    short: ClassVar[bool] = False

    def reach(self, top: int) -> int:
        """As ``Ranker.reach``: all videos."""
        return MAX_PAGED

    def spread(self, top: int) -> int:
        """As ``ranking.Ranker.spread``."""
        return spread(top)

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``."""
        scores, rows = self.best(view, text, tops)
        return [
            Ranked(rows[q, :top], scores[q, :top], self._attention(view, text, q, rows[q, :top]))
            for q, top in enumerate(tops)
        ]

    def best(self, view: View, text: Tensors, tops: Sequence[int]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Scores and rows [Q, n] of the best videos of a view, as many as the largest of ``tops``, or as there are."""
        if not view.count:
            return np.empty((len(tops), 0), np.float32), np.empty((len(tops), 0), np.int64)
        return self.make(text, view.tensors).search(self.library, max(tops), **view.searched())

    def _attention(self, view: View, text: Tensors, q: int, rows: npt.NDArray[np.int64]) -> Floats | None:
        if self.weigh is None:
            return None
        one = {name: values[q : q + 1] for name, values in text.items()}
        return self.weigh(one, {name: values[rows] for name, values in view.tensors.items()})
