"""Searches of a gallery that is written to meanwhile, by a process of its own; this one follows the gallery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...export.bundle.manifest import Manifest
from ...serving.gallery.store import Gallery
from ...serving.search.rankers import ranker_of
from ...serving.search.snapshot import Snapshot
from .storages import opened
from .world import Films, Floats, texts
from .writer import Writer

TAKEN = "records a second, written while searched"
SLOWER = "search p95 while written, times the quiet one"
ERRORS = "errors while written and searched"
# Records a second: one for so many videos, and no more than these.
_VIDEOS_EACH, _MOST = 5_000, 200
_TEXTS, _ROUNDS, _TOP = 16, 3, 10
_LATE_S = 60.0


def offered(videos: int) -> float:
    """Records a second that are offered to a gallery of so many videos."""
    return min(_MOST, videos / _VIDEOS_EACH)


def beside(
    gallery: Gallery, model: Manifest, films: Films, videos: int, told: Callable[[str], object]
) -> Iterator[tuple[str, float]]:
    """Figures of searches that take turns: some while nothing is written, and some while records are."""
    rate, seconds = offered(videos), min(20.0, max(2.0, videos / 50_000))
    asked = texts(films, np.random.default_rng(9).integers(0, videos, _TEXTS))
    quiet, written, errors = list[float](), list[float](), list[str]()
    taken = spent = 0.0
    with Writer(gallery.root, films, videos) as writer, opened(gallery, model) as snapshot:
        snapshot.start()
        searches = _Searches(snapshot, model, asked, errors)
        writer.ask()
        for _ in range(_ROUNDS):
            quiet += searches.until(partial(_past, time.monotonic() + seconds))
            writer.tell(rate=rate, seconds=seconds)
            written += searches.until(lambda: writer.done)
            answer = writer.answer()
            taken, spent = taken + answer["written"], spent + answer["seconds"]
            errors += answer["errors"]
            if not _seen(snapshot, answer["version"]):
                errors.append(f"version {answer['version']} was not seen")
            # What is merged after writing is no part of the quiet.
            writer.ask()
    told(f"{len(quiet)} searches while quiet, {len(written)} beside {taken:.0f} records; {errors[:3]}")
    yield TAKEN, taken / spent
    yield ERRORS, len(errors)
    yield SLOWER, float(np.percentile(written, 95) / np.percentile(quiet, 95))


class _Searches:
    """One searcher, who waits as long as an answer took before the next search: half of what the machine answers.

    A writer gives way to searches, so beside a searcher without a pause it would have next to nothing of two cores.
    """

    def __init__(self, snapshot: Snapshot, model: Manifest, asked: dict[str, Floats], errors: list[str]) -> None:
        self._snapshot, self._errors = snapshot, errors
        self._ranker = ranker_of(model, Path())[0]
        self._asked = [{name: values[q : q + 1] for name, values in asked.items()} for q in range(_TEXTS)]
        self._number = 0

    def until(self, ended: Callable[[], bool]) -> list[float]:
        """The seconds of every search till then."""
        spent = []
        while not ended():
            self._number += 1
            begun = time.perf_counter()
            try:
                (found,) = self._ranker.rank(self._snapshot.view, self._asked[self._number % _TEXTS], [_TOP])
                if len(found.rows) != _TOP or (np.diff(found.scores) > 0).any():
                    self._errors.append(f"a search found {found}")
            except Exception as error:
                self._errors.append(repr(error))
            spent.append(time.perf_counter() - begun)
            time.sleep(spent[-1])
        return spent


def _past(end: float) -> bool:
    return time.monotonic() >= end


def _seen(snapshot: Snapshot, version: int) -> bool:
    end = time.monotonic() + _LATE_S
    while snapshot.view.version < version and time.monotonic() < end:
        time.sleep(0.01)
    return snapshot.view.version >= version
