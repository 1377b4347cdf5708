"""Searches of one gallery in both storages: whether they find the same, and how much sooner int8 does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...export.bundle.manifest import Manifest
from ...export.bundle.scorers import scorer_of
from ...serving.gallery.store import CACHE, Gallery
from ...serving.search.certified_ranking import derived_of
from ...serving.search.rankers import ranker_of
from ...serving.search.snapshot import Snapshot
from ...serving.search.topk_ranking import TopKRanker
from .figures import DIFFERENT, FASTER, RESCORED
from .world import Films, texts

_TEXTS, _ROUNDS, _TOP = 16, 7, 10


def opened(gallery: Gallery, model: Manifest) -> Snapshot:
    """The gallery as a search has it."""
    _, read = ranker_of(model, Path())
    return Snapshot(
        gallery.reader(), read, scorer_of(model).lanes, cache=gallery.root / CACHE, derived=derived_of(model)
    )


def compared(gallery: Gallery, model: Manifest, films: Films, videos: int) -> Iterator[tuple[str, float]]:
    """The ratio of the medians of one text's search, which take turns over the same rows, and what they found."""
    numbers = np.random.default_rng(5).integers(0, videos, _TEXTS)
    made = texts(films, numbers)
    asked = [{name: values[q : q + 1] for name, values in made.items()} for q in range(_TEXTS)]
    rankers = (TopKRanker(model), ranker_of(model, Path())[0])
    different, scored = 0, []
    with opened(gallery, model) as snapshot:
        view = snapshot.view
        for text in asked:
            (want,), (got,) = (ranker.rank(view, text, [_TOP]) for ranker in rankers)
            different += not (np.array_equal(got.rows, want.rows) and np.array_equal(got.scores, want.scores))
            scored.append((got.rescored or 0) / view.count)
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            for text in asked:
                for ranker, at in zip(rankers, seconds, strict=True):
                    begun = time.perf_counter()
                    ranker.rank(view, text, [_TOP])
                    at.append(time.perf_counter() - begun)
    yield FASTER, float(np.median(seconds[0]) / np.median(seconds[1]))
    yield DIFFERENT, different
    yield RESCORED, float(np.mean(scored))
