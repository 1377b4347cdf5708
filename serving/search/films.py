"""The best films of a gallery that keeps some in segments: each as good as its best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .onnx_scorer import Tensors
from .ranking import Ranked, Ranker
from .view import View

# How much further each pass goes than the one before, where it found too few films.
_FURTHER = 8


def rank_videos(ranker: Ranker, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
    """As ``Ranker.rank``, of videos: the row of each is that of its best segment, the earliest among equals.

    The films of the first rows of a ranking are the best films, in the order of their first rows, because every row of
    the others comes later. So the rows of those that are found are left out, and the rest is ranked again, further,
    until there are enough. Nothing else is found than by ranking all rows; mostly one pass does. Where a ranker scores
    a short list of rows alone, the films of that are all that there are.
    """
    if view.segments is None:
        return ranker.rank(view, text, tops)
    # What a search names is all scored, also by who scores a short list of others.
    every = ranker.short and view.named
    found = ranker.rank(view, text, [view.count if every else min(ranker.spread(top), view.count) for top in tops])
    return [
        _films(ranker, view, {name: values[q : q + 1] for name, values in text.items()}, top, first)
        for q, (top, first) in enumerate(zip(tops, found, strict=True))
    ]


def _films(ranker: Ranker, view: View, text: Tensors, top: int, first: Ranked) -> Ranked:
    passes = [_first_of_each(view, first)]
    left, wide = view, ranker.spread(top)
    while not ranker.short and len(passes[-1].rows) and (missing := top - sum(len(each.rows) for each in passes)) > 0:
        gone = {row for best in passes[-1].rows.tolist() for row in view.beside(best)}
        left, wide = left.without(gone), wide * _FURTHER
        if not left.count:
            break
        (further,) = ranker.rank(left, text, [min(max(missing, wide), left.count)])
        passes.append(_first_of_each(left, further))
    return _best(passes, top)


def _first_of_each(view: View, ranked: Ranked) -> Ranked:
    """The first row of every film."""
    places = np.sort(np.unique(view.films(ranked.rows), return_index=True)[1])
    return _taken(ranked, places)


def _best(passes: Sequence[Ranked], top: int) -> Ranked:
    rows = np.concatenate([each.rows for each in passes])
    scores = np.concatenate([each.scores for each in passes])
    weights = [each.attention for each in passes if each.attention is not None]
    counts = [each.rescored for each in passes if each.rescored is not None]
    joined = Ranked(
        rows,
        scores,
        np.concatenate(weights) if weights else None,
        sum(counts) if counts else None,
        all(each.exact for each in passes),
        passes[0].recall,
    )
    return _taken(joined, np.lexsort((rows, -scores))[:top])


def _taken(ranked: Ranked, places: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Ranked:
    weights = None if ranked.attention is None else ranked.attention[places]
    return replace(ranked, rows=ranked.rows[places], scores=ranked.scores[places], attention=weights)
