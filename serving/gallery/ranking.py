"""The best videos of a view of the gallery for each of several texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .scorer import Floats, Scorer, Tensors
from .snapshot import View

# What one call of the scorer may hold in temporaries, in bytes.
BLOCK_BYTES = 128 << 20

# The exported graphs hold about this many float32 copies of a block of records, and of one text record per
# pair.
_COPIES = 3


@dataclass(frozen=True)
class Ranked:
    """The winners for one text, best first: rows of the view int64 [n], scores float32 [n], attention float32
    [n, F].
    """

    rows: npt.NDArray[np.intp]
    scores: Floats
    attention: Floats


class Ranker(Protocol):
    """Anything that finds the best videos of a view for each of Q texts."""

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """The ``tops[q]`` best videos (all of them, when there are fewer) for each text.

        ``text`` maps the text record's tensors to float32 [Q, ...]. Videos with equal scores come in the order in which
        they were indexed; a score that is not a number comes last.
        """
        ...


class GraphRanker:
    """Ranks with any scorer: all texts in one pass over the gallery, a block of it at a time."""

    def __init__(self, scorer: Scorer, block_bytes: int = BLOCK_BYTES) -> None:
        self._scorer, self._block_bytes = scorer, block_bytes

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``Ranker.rank``.

        The attention is computed again for the winners alone: keeping it for every pair would take F times the scores.
        """
        rows = len(view.timestamps)
        frames = view.timestamps.shape[1]
        block = block_rows(view, text, self._block_bytes)
        scores = np.empty((len(tops), rows), np.float32)
        for start in range(0, rows, block):
            part = slice(start, min(start + block, rows))
            records = {name: values[part] for name, values in view.tensors.items()}
            scores[:, part] = self._scorer.score(text, records)[0]
        scores[np.isnan(scores)] = -np.inf
        ranked = []
        for q, top in enumerate(tops):
            winners = best(scores[q], view.dead, min(top, view.count))
            attention = np.empty((len(winners), frames), np.float32)
            one = {name: values[q : q + 1] for name, values in text.items()}
            for start in range(0, len(winners), block):
                part = slice(start, start + block)
                records = {name: values[winners[part]] for name, values in view.tensors.items()}
                attention[part] = self._scorer.score(one, records)[1][0]
            ranked.append(Ranked(winners, scores[q, winners], attention))
        return ranked


def best(scores: Floats, dead: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """The rows of the ``n`` highest of ``scores`` [R] outside ``dead``, best first, the lower row first among
    equals.

    Takes time linear in R, for any ``n`` well below it. At least ``n`` rows must not be dead.
    """
    if n == 0:
        return np.empty(0, np.intp)
    rows = np.delete(np.arange(len(scores)), dead) if len(dead) else np.arange(len(scores))
    candidates = scores[rows]
    limit = np.partition(candidates, len(candidates) - n)[len(candidates) - n]
    above = np.flatnonzero(candidates > limit)
    level = np.flatnonzero(candidates == limit)[: n - len(above)]
    chosen = np.concatenate([above, level])
    winners: npt.NDArray[np.intp] = rows[chosen[np.argsort(-candidates[chosen], kind="stable")]]
    return winners


def block_rows(view: View, text: Tensors, block_bytes: int) -> int:
    """How many videos to score at once so that the temporaries stay near ``block_bytes``."""
    record = sum(math.prod(values.shape[1:]) for values in view.tensors.values())
    pairs = sum(values.size for values in text.values())
    return max(1, block_bytes // (4 * _COPIES * (record + pairs + 1)))
