"""Places in a ranking, counted from 0, under the ways in which published code treats equal scores.

All functions take scores [A, B] of A queries against B items, higher is better. None of them sorts: a place is the
number of items that stand before one's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput
from .scores import Floats, Ints, ScoreMatrix

Places = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


def better_and_tied(scores: Floats, target: Ints) -> tuple[Ints, Ints]:
    """For each query, how many items score higher than ``target``'s and how many, itself included, the same."""
    own = scores[np.arange(len(scores)), target][:, None]
    return (scores > own).sum(1), (scores == own).sum(1)


def optimistic(scores: Floats, target: Ints) -> Places:
    """One's own item stands first among equals."""
    return better_and_tied(scores, target)[0]


def averaged(scores: Floats, target: Ints) -> Places:
    """The mean of the places that the equals share: what ordering them at random gives on average."""
    better, tied = better_and_tied(scores, target)
    places: Places = better + (tied - 1) / 2
    return places


def by_index(scores: Floats, target: Ints) -> Places:
    """The item of the lower index stands first among equals."""
    own = scores[np.arange(len(scores)), target][:, None]
    earlier = np.arange(scores.shape[1])[None] < target[:, None]
    places: Ints = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return places


def by_torch_sort(scores: Floats, target: Ints) -> Places:
    """The place that ``torch.argsort(descending=True)`` gives: among equals any, for that sort is not stable.

    What it makes of equals differs between processors. NaN stands above every number. torch is needed only where one's
    own item has an equal or a row holds NaN.
    """
    better, tied = better_and_tied(scores, target)
    open_ = (tied != 1) | np.isnan(scores).any(1)
    if not open_.any():
        return better
    import torch

    order = torch.argsort(torch.from_numpy(np.ascontiguousarray(scores)), dim=1, descending=True).numpy()
    places: Ints = np.argmax(order == target[:, None], axis=1)
    return places


def by_numpy_sort(scores: Floats, target: Ints) -> Places:
    """The place that ``numpy.argsort`` of the negated scores gives, which is not a stable sort: among equals, any."""
    order = np.argsort(-scores, axis=1)
    places: Ints = np.argmax(order == target[:, None], axis=1)
    return places


def every_tied(scores: Floats, target: Ints) -> Places:
    """All places that the equals share, each as a sample of its own; [A] or longer.

    A query whose own score is not finite has no place and leaves no sample.
    """
    better, tied = better_and_tied(scores, target)
    tied = np.where(np.isfinite(scores[np.arange(len(scores)), target]), tied, 0)
    ends = np.cumsum(tied)
    within = np.arange(ends[-1]) - np.repeat(ends - tied, tied)
    places: Ints = np.repeat(better, tied) + within
    return places


def first_own_caption(matrix: ScoreMatrix, tied_place: Callable[[Ints, Ints], Places]) -> Places:
    """For every video with captions, the place of the first of its own captions among all captions.

    Args:
        matrix: Q captions and V videos.
        tied_place: how many stand before the first own caption among equals, from the numbers of own and of other
            captions with the best own score.
    """
    videos = np.flatnonzero(matrix.captions_per_video)
    scores = matrix.scores[:, videos]
    own = matrix.target[:, None] == videos[None]
    best = np.where(own, scores, -np.inf).max(0)
    same = scores == best
    places: Places = (scores > best).sum(0) + tied_place((same & own).sum(0), (same & ~own).sum(0))
    return places


def first_own_by_index(matrix: ScoreMatrix) -> Places:
    """As ``first_own_caption``, the caption of the lower index standing first among equals."""
    videos = np.flatnonzero(matrix.captions_per_video)
    scores = matrix.scores[:, videos]
    own = matrix.target[:, None] == videos[None]
    best = np.where(own, scores, -np.inf).max(0)
    first = np.argmax(own & (scores == best), axis=0)
    return by_index(np.ascontiguousarray(scores.T), first)


def best_of_captions(matrix: ScoreMatrix) -> Floats:
    """The highest score of each video's captions with every video, [video of the captions, video]; NaN counts as -inf.

    ``matrix`` must be grouped.
    """
    counts = matrix.captions_per_video
    scores = np.where(np.isnan(matrix.scores), -np.inf, matrix.scores)
    best: Floats = np.maximum.reduceat(scores, np.cumsum(counts) - counts, axis=0)
    return best


def demand_numbers(scores: Floats) -> None:
    """Raise InvalidInput if a score is NaN."""
    if nan := int(np.isnan(scores).sum()):
        raise InvalidInput(f"{nan} of {scores.size} scores are not numbers (NaN): this rule can't rank them")
