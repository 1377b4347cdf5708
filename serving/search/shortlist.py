"""The best videos by a scorer that is too slow for all of them: it re-ranks a short list chosen by a dot product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...export.bundle.ports import MEAN_EMBEDDING, TEXT_EMBEDDING
from ...export.bundle.scorers import BLOCK_BYTES, block_rows
from .onnx_scorer import Floats, Scorer, Tensors
from .ranking import Ranked, best
from .snapshot import View

# Videos whose means are widened to float32 at once: 8 MiB of 512 numbers each, which stay in the cache.
_MEANS = 4096


class ShortlistRanker:
    """Ranks in two stages: the dot product of the unit embeddings over the whole gallery, then the scorer.

    Scores are the scorer's alone, of the ``shortlist`` best videos of the first stage, or of the ``top`` best where
    more are asked for. Among equals the video that was indexed first goes first, in both stages.

    Args:
        shortlist: videos for each text that the scorer reads.
        pair_floats: what the scorer holds for every pair, see ``scorers``.
        block_bytes: what one call of it may hold.
    """

    def __init__(self, scorer: Scorer, shortlist: int, pair_floats: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._scorer, self._shortlist = scorer, shortlist
        self._pair_floats, self._block_bytes = pair_floats, block_bytes

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``; ``text`` also holds ``text_embedding`` and the view ``mean_embedding``."""
        means = view.tensors[MEAN_EMBEDDING]
        first = np.empty((len(tops), len(means)), np.float32)
        for start in range(0, len(means), _MEANS):
            part = slice(start, start + _MEANS)
            np.matmul(text[TEXT_EMBEDDING], means[part].astype(np.float32).T, out=first[:, part])
        first[np.isnan(first)] = -np.inf
        ranked = []
        for q, top in enumerate(tops):
            chosen = best(first[q], view.dead, min(max(top, self._shortlist), view.count))
            # In the order of the gallery, so that equal scores keep it.
            chosen.sort()
            scores = self._scores(view, {name: values[q : q + 1] for name, values in text.items()}, chosen)
            winners = best(scores, np.empty(0, np.intp), min(top, len(chosen)))
            ranked.append(Ranked(chosen[winners], scores[winners], None))
        return ranked

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
