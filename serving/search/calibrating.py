"""Which coarse stage a gallery allows, by texts whose best videos the exact search finds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...export.bundle.errors import GalleryError, InvalidInput
from ...export.bundle.manifest import Manifest
from ...export.bundle.scorers import scorer_of
from ..gallery.calibration import Calibration
from .coarse import Stage, coarse_view, row_bytes, stage_of
from .coarse_ranking import CoarseRanker
from .onnx_scorer import Tensors
from .ranking import Ranker
from .recall import Places, exact_best, measured, needed, places_of
from .view import View

# Fewer say little.
LEAST_TEXTS = 50
# Fewer candidates would save nothing that anybody notices, and hold for less than the texts that were tried.
_LEAST_CANDIDATES = 100
# What a video among candidates takes, in times of one in a scan; and the most that both stages may take of a scan.
_AT_RANDOM, _MOST_WORK = 3.0, 1 / 3
# Of fewer videos the candidates alone take more.
_LEAST_VIDEOS = round(_AT_RANDOM * _LEAST_CANDIDATES / _MOST_WORK)


@dataclass(frozen=True)
class Wish:
    """What a coarse stage shall do: lead to this ``recall`` of the ``top`` best.

    Raises:
        InvalidInput: no share, or less than one.
    """

    recall: float
    top: int

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1 or self.top < 1:
            raise InvalidInput(f"recall@{self.top} of {self.recall} can't be: it lies above 0 and goes to 1")


@dataclass(frozen=True)
class _Choice:
    """Candidates, and the ``work`` of both stages as a share of a scan's."""

    frames: int
    candidates: int
    work: float
    stage: Stage
    view: View


def calibrate(
    manifest: Manifest,
    ranker: Ranker,
    view: View,
    text: Tensors,
    wish: Wish,
    origin: str,
    told: Callable[[str], object] = lambda _: None,
    done: Callable[[int], object] = lambda _: None,
) -> Calibration:
    """The coarse stage with the least work that a gallery allows, measured as it will be served.

    Args:
        ranker: the exact one.
        view: the whole gallery.
        text: records [T, ...] of T texts that people search for; ``origin`` says where they come from.
        told: called with a line for each that is tried.
        done: called with the numbers of texts whose best videos are known.

    Raises:
        InvalidInput: too few texts.
        BundleError: the scorer can't have a coarse stage.
        GalleryError: there is no video, or no coarse stage of this recall takes much less than the exact search.
    """
    count, frames_of = len(next(iter(text.values()))), manifest.frame_count or 1
    if count < LEAST_TEXTS:
        raise InvalidInput(
            f"{count} texts say too little of a recall: give {LEAST_TEXTS} at the least, better some hundreds"
        )
    if not view.count:
        raise GalleryError("the gallery has no videos yet: a coarse stage is calibrated by searching them")
    stage_of(manifest, ranker, 1)
    if view.count < _LEAST_VIDEOS:
        raise GalleryError(
            f"a coarse stage does not pay here, whatever the recall: the gallery has {view.count:,} records, and fewer "
            f"than {_LEAST_VIDEOS:,} are searched as fast exactly. Serve without --coarse"
        )
    best = exact_best(ranker, view, text, wish.top, done)
    beside = _beside(view, best)
    read = sum(values.nbytes for values in view.tensors.values()) / len(view.timestamps)
    whole = f" with {beside:,.0f} segments of the best films" if beside else ""
    chosen, tried = None, list[str]()
    for frames in range(1, frames_of):
        stage = stage_of(manifest, ranker, frames)
        scan = row_bytes(stage) / read
        if scan >= (_MOST_WORK if chosen is None else chosen.work):
            break
        averaged = coarse_view(view, stage, scorer_of(manifest).lanes)
        least = needed(places_of(stage, averaged, text, best), wish.recall)
        candidates = min(max(least, _LEAST_CANDIDATES), view.count)
        work = scan + _AT_RANDOM * (candidates + beside) / view.count
        tried.append(f"{frames} of {frames_of} frames and {candidates:,} candidates{whole}, {work:.0%}")
        told(f"recall@{wish.top} of {wish.recall:g} takes, of an exact search's work: {tried[-1]}")
        if work <= _MOST_WORK and (chosen is None or work < chosen.work):
            chosen = _Choice(frames, candidates, work, stage, averaged)
    if chosen is None:
        fewer = ", or for fewer films, of which all segments are scored, with --top" if beside else ""
        raise GalleryError(
            f"a coarse stage does not pay here: of {view.count:,} records recall@{wish.top} of {wish.recall:g} takes, "
            f"of an exact search's work, {'; '.join(tried) or 'too much with any number of frames'}, and at most "
            f"{_MOST_WORK:.0%} is worth it. Serve without --coarse, or wish for less with --recall{fewer}"
        )
    plan = Calibration(
        fingerprint=manifest.fingerprint,
        version=view.version,
        videos=view.count,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        texts=count,
        origin=origin,
        top=wish.top,
        wished=wish.recall,
        recall=0.0,
        frames=chosen.frames,
        candidates=chosen.candidates,
        speed=0.0,
    )
    coarse = CoarseRanker(ranker, chosen.stage, plan)
    recall, speed = measured(coarse, chosen.view, text, best)
    return replace(plan, recall=round(recall, 4), speed=round(speed, 2))


def _beside(view: View, best: Places) -> float:
    """How many segments the films have that a text leads to, which are all scored: none where no film is cut."""
    return 0.0 if view.segments is None else sum(len(view.beside(row)) for row in best.ravel().tolist()) / len(best)
