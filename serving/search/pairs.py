"""The best videos by a scorer that is too slow for any number of them: each text's pairs, block by block."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED
from ...export.bundle.ports import MEAN_EMBEDDING
from ...export.bundle.scorers import BLOCK_BYTES, block_rows
from .onnx_scorer import Floats, Scorer, Tensors
from .ranking import Ranked, best
from .view import View


class PairRanker(ABC):
    """Ranks the videos that ``choose`` names, by the scorer's scores alone.

    Args:
        pair_floats: what the scorer holds for every pair, see ``scorers``.
        limit: the most videos that are scored for a text; None for any number.
        block_bytes: what one call of the scorer may hold.
    """

    short: ClassVar[bool] = False

    def __init__(
        self, scorer: Scorer, pair_floats: int, *, limit: int | None = None, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._scorer, self._pair_floats = scorer, pair_floats
        self._limit, self._block_bytes = limit, block_bytes

    @abstractmethod
    def choose(self, view: View, text: Tensors, tops: Sequence[int]) -> list[npt.NDArray[np.intp]]:
        """The rows of the view to score for each text, ascending."""

    def reach(self, top: int) -> int:
        """As ``ranking.Ranker.reach``: all videos that may be scored."""
        return MAX_PAGED

    def spread(self, top: int) -> int:
        """As ``ranking.Ranker.spread``: all rows, which are scored in any case."""
        return sys.maxsize

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``. Among equals the video that was indexed first goes first.

        Raises:
            InvalidRequest: more videos than the limit would have to be scored.
        """
        ranked = []
        chosen = [view.rows()] * len(tops) if view.named else self.choose(view, text, tops)
        for q, (top, rows) in enumerate(zip(tops, chosen, strict=True)):
            if self._limit is not None and len(rows) > self._limit:
                raise InvalidRequest(self._refusal(view, top, len(rows)))
            scores = self._scores(view, {name: values[q : q + 1] for name, values in text.items()}, rows)
            winners = best(scores, min(top, len(rows)))
            ranked.append(Ranked(rows[winners], scores[winners], None))
        return ranked

    def _refusal(self, view: View, top: int, rows: int) -> str:
        told = f"this model reads every text and video together, at most {self._limit} videos for a text"
        if view.named:
            return f"{told}, and the search names {rows} candidates: name fewer, or export it with --scan-limit {rows}"
        return (
            f"{told}, and the search would take {rows}: export it with --scan-limit {rows}, name the candidates "
            "with the search, or let another model of the same videos choose them (framesift serve --shortlist-from)"
        )

    def _scores(self, view: View, text: Tensors, rows: npt.NDArray[np.intp]) -> Floats:
        read = {name: values for name, values in view.tensors.items() if name != MEAN_EMBEDDING}
        block = block_rows(read, 1, self._pair_floats, self._block_bytes)
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            records = {name: values[rows[part]] for name, values in read.items()}
            scores[part] = self._scorer.score(text, records)[0][0]
        scores[np.isnan(scores)] = -np.inf
        return scores


class ScanRanker(PairRanker):
    """Ranks every video of the gallery, where records hold nothing to choose a short list by."""

    def choose(self, view: View, text: Tensors, tops: Sequence[int]) -> list[npt.NDArray[np.intp]]:
        """All of them."""
        return [view.rows()] * len(tops)
