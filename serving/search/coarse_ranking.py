"""Ranking in two stages: averages of frames choose candidates, and the exact ranking puts them in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...export.bundle.manifest import Manifest
from ...export.bundle.storages import is_coarse
from ..gallery.calibration import Calibration
from ..gallery.store import Gallery
from .coarse import Stage, stage_of
from .derived import Derived, both
from .onnx_scorer import Tensors
from .ranking import Ranked, Ranker
from .view import View

# Where more than every so-manieth video would be a candidate, scoring all is as fast.
_SHARE = 4


class CoarseRanker:
    """Ranks as ``exact`` does, among the candidates that the coarse stage finds.

    What was calibrated is a search of the whole gallery for a few hits, so others are exact: of a part of the gallery,
    for more hits, and of galleries that are too small for two stages. Each says which it was.

    Attributes:
        calibration: how many candidates there are of each text, and what recall that had.
    """

    def __init__(self, exact: Ranker, stage: Stage, calibration: Calibration) -> None:
        self._exact, self._stage, self.calibration = exact, stage, calibration

    def reach(self, top: int) -> int:
        """As ``ranking.Ranker.reach``: as far as the exact ranking, because later pages are its."""
        return self._exact.reach(top)

    def spread(self, top: int) -> int:
        """As ``ranking.Ranker.spread``: further than was calibrated, which is of records and not of films."""
        return max(self._exact.spread(top), self.calibration.top + 1)

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``. A text has the scores that the exact ranking gives it alone."""
        candidates = self.calibration.candidates_of(view.count)
        coarse = view.chosen is None and candidates * _SHARE <= view.count
        few = [q for q, top in enumerate(tops) if coarse and top <= self.calibration.top]
        found: dict[int, Ranked] = {}
        if few:
            rows = self._stage.best(view, _only(text, few), candidates)
            for q, chosen in zip(few, rows, strict=True):
                part = replace(view, chosen=np.sort(chosen), count=len(chosen))
                (ranked,) = self._exact.rank(part, _only(text, [q]), [tops[q]])
                # Where the exact ranking leaves candidates out, all others are looked at.
                if len(ranked.rows) == tops[q]:
                    scored = _scored(ranked, len(chosen))
                    found[q] = replace(ranked, rescored=scored, exact=False, recall=self.calibration.recall)
        if left := [q for q in range(len(tops)) if q not in found]:
            whole = self._exact.rank(view, _only(text, left), [tops[q] for q in left])
            found.update(
                (q, replace(ranked, rescored=_scored(ranked, view.count), recall=1.0))
                for q, ranked in zip(left, whole, strict=True)
            )
        return [found[q] for q in range(len(tops))]


def with_coarse(manifest: Manifest, ranker: Ranker, derived: Derived, gallery: Gallery) -> tuple[Ranker, Derived]:
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


def _only(text: Tensors, queries: Sequence[int]) -> Tensors:
    return {name: np.ascontiguousarray(values[queries]) for name, values in text.items()}


def _scored(ranked: Ranked, count: int) -> int:
    return count if ranked.rescored is None else ranked.rescored
