"""Searches of one gallery with a coarse stage, as it was calibrated, and exactly: how much sooner, and what misses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ...export.bundle.errors import GalleryError
from ...export.bundle.scorers import scorer_of
from ...serving.gallery.store import Gallery
from ...serving.search.calibrating import Wish, calibrate
from ...serving.search.coarse import coarse_view, stage_of
from ...serving.search.coarse_ranking import CoarseRanker
from ...serving.search.ranking import Ranker
from ...serving.search.recall import exact_best, measured
from ...serving.search.topk_ranking import TopKRanker
from .figures import COARSE_CANDIDATES, COARSE_FASTER, COARSE_RECALL
from .records import manifest
from .storages import opened
from .world import Films, texts

_TEXTS, _OTHERS, _TIMED, _ROUNDS, _TOP, _WISHED = 300, 200, 16, 7, 10, 0.99


def coarse(gallery: Gallery, films: Films, videos: int, told: Callable[[str], object]) -> Iterator[tuple[str, float]]:
    """What a stage calibrated to a recall@10 of 0.99 does with other texts; searches take turns over the same rows.

    There is nothing to tell where the calibration allows none.
    """
    model = manifest()
    exact, drawn = TopKRanker(model), np.random.default_rng(5)
    asked, other = (texts(films, drawn.integers(0, videos, count)) for count in (_TEXTS, _OTHERS))
    with opened(gallery, model) as snapshot:
        view = snapshot.view
        try:
            found = calibrate(model, exact, view, asked, Wish(_WISHED, _TOP), "bench", told)
        except GalleryError as error:
            told(str(error))
            return
        told(f"{found.frames} averages, {found.candidates} candidates, recall {found.recall} of {found.texts} texts")
        stage = stage_of(model, exact, found.frames)
        both, whole = CoarseRanker(exact, stage, found), coarse_view(view, stage, scorer_of(model).lanes)
        best = exact_best(exact, whole, other, _TOP, lambda _: None)
        yield COARSE_RECALL, measured(both, whole, other, best)[0]
        rankers: tuple[Ranker | CoarseRanker, ...] = (exact, both)
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            for q in range(_TIMED):
                text = {name: values[q : q + 1] for name, values in other.items()}
                for ranker, at in zip(rankers, seconds, strict=True):
                    at.append(_seconds(partial(ranker.rank, whole, text, [_TOP])))
    yield COARSE_FASTER, float(np.median(seconds[0]) / np.median(seconds[1]))
    yield COARSE_CANDIDATES, found.candidates / view.count


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
