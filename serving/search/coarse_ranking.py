"""Ranking in two stages: averages of frames choose candidates, and the exact ranking puts them in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...export.bundle.manifest import Manifest
from ...export.bundle.storages import is_coarse
from ..gallery.calibration import Calibration
from ..gallery.store import Gallery
from .coarse import Stage, stage_of
from .derived import Derived, both
from .films import rank_videos
from .onnx_scorer import Tensors
from .ranking import Ranked, Ranker
from .view import View

# Where more than every so-manieth video would be a candidate, scoring all is as fast.
_SHARE = 4


class CoarseRanker:
    """Ranks as ``exact`` does, among the candidates that the coarse stage finds.

    What was calibrated is a search of the whole gallery for a few hits, so others are exact: of a part of the gallery,
    for more hits, and of galleries that are too small for two stages. Each says which it was.

    Where films are cut, candidates are segments, and hits are films, of which the recall is.

    Attributes:
        calibration: how many candidates there are of each text, and what recall that had.
    """

    def __init__(self, exact: Ranker, stage: Stage, calibration: Calibration) -> None:
        self._exact, self._stage, self.calibration = exact, stage, calibration

    def reach(self, top: int) -> int:
        """As ``ranking.Ranker.reach``: as far as the exact ranking, because later pages are its."""
        return self._exact.reach(top)

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``films.rank_videos``. A text has the scores that the exact ranking gives it alone."""
        candidates = self.calibration.candidates_of(view.count)
        coarse = view.chosen is None and candidates * _SHARE <= view.count
        few = [q for q, top in enumerate(tops) if coarse and top <= self.calibration.top]
        found: dict[int, Ranked] = {}
        if few:
            rows = self._stage.best(view, _only(text, few), candidates)
            for q, chosen in zip(few, rows, strict=True):
                ranked = self._among(view, _only(text, [q]), chosen, tops[q])
                # Where the exact ranking leaves candidates out, or they are of fewer films, all others are looked at.
                if len(ranked.rows) == tops[q]:
                    found[q] = replace(ranked, exact=False, recall=self.calibration.recall)
        if left := [q for q in range(len(tops)) if q not in found]:
            whole = self.exactly(view, _only(text, left), [tops[q] for q in left])
            found.update(zip(left, whole, strict=True))
        return [found[q] for q in range(len(tops))]

    def exactly(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """The same without the coarse stage."""
        whole = rank_videos(self._exact, view, text, tops)
        return [replace(ranked, rescored=_scored(ranked, view.count), recall=1.0) for ranked in whole]

    def _among(self, view: View, text: Tensors, candidates: npt.NDArray[np.int64], top: int) -> Ranked:
        """The best videos of candidates for one text."""
        (ranked,) = rank_videos(self._exact, _part(view, candidates), text, [top])
        if view.segments is None:
            return replace(ranked, rescored=_scored(ranked, len(candidates)))
        # A film that was led to by one of its segments is as good as its best one, which may be no candidate.
        rows = np.array([row for best in ranked.rows.tolist() for row in view.beside(best)], np.int64)
        (again,) = rank_videos(self._exact, _part(view, rows), text, [top])
        scored = _scored(again, len(np.union1d(candidates, rows))) + (ranked.rescored or 0)
        return replace(again, rescored=scored)


def with_coarse(
    manifest: Manifest, ranker: Ranker, derived: Derived, gallery: Gallery
) -> tuple[Ranker | CoarseRanker, Derived]:
    """The ranker of a deployment and what its gallery keeps beside records, with a coarse stage where it has one.

    Raises:
        BundleError: the scorer can't have a coarse stage here.
        GalleryError: the gallery was not calibrated, or another one was.
    """
    if not is_coarse(manifest):
        return ranker, derived
    calibration = Calibration.of(gallery.root, manifest.fingerprint, gallery.version)
    stage = stage_of(manifest, ranker, calibration.frames)
    return CoarseRanker(ranker, stage, calibration), both(derived, stage.derived)


def _part(view: View, rows: npt.NDArray[np.int64]) -> View:
    return replace(view, chosen=np.sort(rows), count=len(rows))


def _only(text: Tensors, queries: Sequence[int]) -> Tensors:
    return {name: np.ascontiguousarray(values[queries]) for name, values in text.items()}


def _scored(ranked: Ranked, count: int) -> int:
    return count if ranked.rescored is None else ranked.rescored
