"""The best videos by a scorer that is too slow for all of them: it re-ranks a short list chosen by a dot product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...export.bundle.ports import MEAN_EMBEDDING, TEXT_EMBEDDING
from ...export.bundle.scorers import BLOCK_BYTES
from ...kernels.dot import cpu as dot
from ...kernels.pairs import available
from .onnx_scorer import Scorer, Tensors
from .pairs import PairRanker
from .ranking import best
from .view import Numbers, View

# Videos whose means are widened to float32 at once: 8 MiB of 512 numbers each, which stay in the cache.
_MEANS = 4096


class ShortlistRanker(PairRanker):
    """Ranks in two stages: the dot product of the unit embeddings over the whole gallery, then the scorer.

    Scores are the scorer's alone, of the ``shortlist`` best videos of the first stage, or of the ``top`` best where
    more are asked for. Among equals the video that was indexed first goes first, in both stages.

    Args:
        shortlist: videos for each text that the scorer reads.
        pair_floats, limit, block_bytes: as of ``PairRanker``.

    Attributes:
        given: numbers of the rows that are each text's short list, where somebody else has chosen.
    """

    short: ClassVar[bool] = True
    given: Sequence[Numbers] | None = None

    def __init__(
        self,
        scorer: Scorer,
        shortlist: int,
        pair_floats: int,
        block_bytes: int = BLOCK_BYTES,
        *,
        limit: int | None = None,
    ) -> None:
        super().__init__(scorer, pair_floats, limit=limit, block_bytes=block_bytes)
        self._shortlist = shortlist

    def reach(self, top: int) -> int:
        """As ``ranking.Ranker.reach``: the short list, which is the same for every page."""
        return max(top, self._shortlist)

    def spread(self, top: int) -> int:
        """As ``ranking.Ranker.spread``: all of the short list, which is scored in any case."""
        return self.reach(top)

    def choose(self, view: View, text: Tensors, tops: Sequence[int]) -> list[npt.NDArray[np.intp]]:
        """The short list of each text, which also holds ``text_embedding`` as the view does ``mean_embedding``."""
        if self.given is not None:
            rows = view.rows()
            return [rows[np.isin(view.numbers[rows], numbers)] for numbers in self.given]
        # In the order of the gallery, so that equal scores keep it.
        return [np.sort(rows) for _, rows in self.nearest(view, text, [max(top, self._shortlist) for top in tops])]

    def nearest(
        self, view: View, text: Tensors, tops: Sequence[int]
    ) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]]:
        """The first stage: the ``tops[q]`` best videos for each text, best first, with their dot products."""
        most = [min(top, view.count) for top in tops]
        rows, means, embeddings = view.rows(), view.tensors[MEAN_EMBEDDING], text[TEXT_EMBEDDING]
        library = available(embeddings.shape[1])
        if library is not None and view.count:
            scores, found = dot.scan(embeddings, means).search(library, max(most), **view.searched())
            return [(scores[q, :n], found[q, :n]) for q, n in enumerate(most)]
        first = np.empty((len(tops), len(rows)), np.float32)
        for start in range(0, len(rows), _MEANS):
            part = slice(start, start + _MEANS)
            np.matmul(embeddings, means[rows[part]].astype(np.float32).T, out=first[:, part])
        first[np.isnan(first)] = -np.inf
        places = [best(first[q], n) for q, n in enumerate(most)]
        return [(first[q, own], rows[own]) for q, own in enumerate(places)]
