"""How much of an exact ranking a coarse stage leads to, and how many candidates that takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .coarse import Stage
from .coarse_ranking import CoarseRanker
from .films import rank_videos
from .onnx_scorer import Tensors
from .ranking import Ranked, Ranker
from .view import View

# The mean of the texts' recalls is taken to be as many of its standard errors below what was measured.
_ERRORS = 1.645
_TEXTS_AT_ONCE, _TIMED = 16, 24

Places = npt.NDArray[np.int64]
Rank = Callable[[View, Tensors, Sequence[int]], list[Ranked]]


def exact_best(ranker: Ranker, view: View, text: Tensors, top: int, done: Callable[[int], object]) -> Places:
    """The rows [T, n] of each of T texts' best videos, of a film that of its best segment.

    ``done`` is called with the number of texts of each part.
    """
    found = []
    for part, count in _parts(text):
        found.append(np.stack([one.rows for one in rank_videos(ranker, view, part, [top] * count)]))
        done(count)
    return np.concatenate(found)


def places_of(stage: Stage, view: View, text: Tensors, best: Places) -> Places:
    """The places [T, n], from 1, that rows [T, n] have in the coarse ranking; of equal scores the last."""
    rows, places = view.rows(), list[list[int]]()
    for part, count in _parts(text):
        own = np.searchsorted(rows, best[len(places) :][:count])
        for scores, hits in zip(stage.scores(view, part), own, strict=True):
            places.append([int((scores >= scores[hit]).sum()) for hit in hits.tolist()])
    return np.array(places, np.int64)


def needed(places: Places, wished: float) -> int:
    """The least number of candidates that hold the wished share of the best, as surely as so few texts can tell."""
    tried = np.unique(places)
    low, high = 0, len(tried) - 1
    while low < high:
        middle = (low + high) // 2
        recalls = (places <= tried[middle]).mean(1)
        sure = recalls.mean() - _ERRORS * recalls.std() / math.sqrt(len(recalls))
        low, high = (low, middle) if sure >= wished else (middle + 1, high)
    return int(tried[low])


def measured(coarse: CoarseRanker, view: View, text: Tensors, best: Places) -> tuple[float, float]:
    """The share of ``best`` that searches find, one text at a time, and how many times as fast as exact ones they are.

    Both take turns for some texts.
    """
    recalls, seconds, top = [], (list[float](), list[float]()), best.shape[1]
    for q, wanted in enumerate(best):
        one = {name: np.ascontiguousarray(values[q : q + 1]) for name, values in text.items()}
        found, took = _timed(coarse.rank, view, one, top)
        recalls.append(float(np.isin(view.films(wanted), view.films(found.rows)).mean()))
        if q < _TIMED:
            seconds[0].append(took)
            seconds[1].append(_timed(coarse.exactly, view, one, top)[1])
    return float(np.mean(recalls)), float(np.median(seconds[1]) / np.median(seconds[0]))


def _timed(rank: Rank, view: View, text: Tensors, top: int) -> tuple[Ranked, float]:
    begun = time.perf_counter()
    (found,) = rank(view, text, [top])
    return found, time.perf_counter() - begun


def _parts(text: Tensors) -> Iterator[tuple[dict[str, npt.NDArray[Any]], int]]:
    """Texts in parts, and how many a part has."""
    count = len(next(iter(text.values())))
    for start in range(0, count, _TEXTS_AT_ONCE):
        part = slice(start, start + _TEXTS_AT_ONCE)
        yield {name: np.ascontiguousarray(values[part]) for name, values in text.items()}, len(range(count)[part])
