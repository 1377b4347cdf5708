"""The best videos of a view of the gallery for each of several texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from ...export.bundle.limits import MAX_PAGED
from ...export.bundle.scorers import BLOCK_BYTES, block_rows
from .onnx_scorer import Floats, Scorer, Tensors
from .view import View


@dataclass(frozen=True)
class Ranked:
    """The winners for one text, best first: rows of the view int64 [n], scores float32 [n], attention float32 [n, F].

    ``attention`` is None where the scorer weighs no frames. ``rescored`` is how many videos were scored as the gallery
    stores them, where the others were proved to be worse, or seemed so by coarse scores; None where all are.
    Where it is ``exact``, these are the best of all videos. Where there is a coarse stage, ``recall`` is the share of
    the best that it led to when it was calibrated, and 1 without it.
    """

    rows: npt.NDArray[np.intp]
    scores: Floats
    attention: Floats | None
    rescored: int | None = None
    exact: bool = True
    recall: float | None = None

    def take(self, places: Sequence[int] | npt.NDArray[np.intp]) -> Ranked:
        """Some of the winners, by their places."""
        kept = np.asarray(places, np.intp)
        weights = None if self.attention is None else self.attention[kept]
        return replace(self, rows=self.rows[kept], scores=self.scores[kept], attention=weights)


class Reach(Protocol):
    """What tells how far its rankings go."""

    def reach(self, top: int) -> int:
        """How many places the ranking has of which a first page takes ``top``, where there are as many videos."""
        ...


class Ranker(Reach, Protocol):
    """Anything that finds the best videos of a view for each of Q texts.

    Attributes:
        short: whether it scores a short list alone, so that a ranking of as many rows has no more.
    """

    short: ClassVar[bool]

    def spread(self, top: int) -> int:
        """How many rows to rank for the best ``top`` videos, where some have several: a few more cost little."""
        ...

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """The ``tops[q]`` best videos (all of them, when there are fewer) for each text.

        ``text`` maps the text record's tensors to float32 [Q, ...]. Videos with equal scores come in the order in which
        they were indexed; a score that is not a number comes last.
        """
        ...


class GraphRanker:
    """Ranks with any scorer: all texts in one pass over the gallery, a block of it at a time.

    Args:
        pair_floats: what the scorer holds for every pair, see ``scorers``.
        block_bytes: what one call of it may hold.
    """

    short: ClassVar[bool] = False

    def __init__(self, scorer: Scorer, pair_floats: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._scorer, self._pair_floats, self._block_bytes = scorer, pair_floats, block_bytes

    def reach(self, top: int) -> int:
        """As ``Ranker.reach``: all videos."""
        return MAX_PAGED

    def spread(self, top: int) -> int:
        """As ``Ranker.spread``."""
        return spread(top)

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``Ranker.rank``.

        Attention is computed again for the winners alone: keeping it for every pair would take F times the scores.
        """
        rows, scores = view.rows(), self.scores(view, text, len(tops))
        scores[np.isnan(scores)] = -np.inf
        ranked = []
        for q, top in enumerate(tops):
            places = best(scores[q], min(top, len(rows)))
            one = {name: values[q : q + 1] for name, values in text.items()}
            attention = self._attention(view, one, rows[places]) if self._scorer.attends else None
            ranked.append(Ranked(rows[places], scores[q, places], attention))
        return ranked

    def scores(self, view: View, text: Tensors, texts: int) -> Floats:
        """Scores float32 [``texts``, R] of the view's ``rows``, as the scorer gives them."""
        rows = view.rows()
        block = block_rows(view.tensors, texts, self._pair_floats, self._block_bytes)
        scores = np.empty((texts, len(rows)), np.float32)
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            records = {name: values[rows[part]] for name, values in view.tensors.items()}
            scores[:, part] = self._scorer.score(text, records)[0]
        return scores

    def _attention(self, view: View, text: Tensors, rows: npt.NDArray[np.intp]) -> Floats:
        attention = np.empty((len(rows), view.timestamps.shape[1]), np.float32)
        block = block_rows(view.tensors, 1, self._pair_floats, self._block_bytes)
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            records = {name: values[rows[part]] for name, values in view.tensors.items()}
            weights = self._scorer.score(text, records)[1]
            assert weights is not None
            attention[part] = weights[0]
        return attention


def spread(top: int) -> int:
    """As ``Ranker.spread``, where a row more costs its weights."""
    return 4 * top + 64


def best(scores: Floats, n: int) -> npt.NDArray[np.intp]:
    """The places of the ``n`` highest ``scores`` [R], best first, among equals the lower place first.

    Takes time linear in R, for any ``n`` well below it.
    """
    if n == 0:
        return np.empty(0, np.intp)
    limit = np.partition(scores, len(scores) - n)[len(scores) - n]
    above = np.flatnonzero(scores > limit)
    level = np.flatnonzero(scores == limit)[: n - len(above)]
    chosen = np.concatenate([above, level])
    winners: npt.NDArray[np.intp] = chosen[np.argsort(-scores[chosen], kind="stable")]
    return winners
