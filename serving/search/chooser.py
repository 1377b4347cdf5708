"""Candidates for a model that reads every pair: the best videos of another model's gallery over the same ids."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import GalleryError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import TEXT_ENCODER
from ...export.bundle.scorers import scorer_of
from ..gallery.store import CACHE, Gallery
from .onnx_scorer import Tensors
from .rankers import ranker_of
from .snapshot import Snapshot
from .view import View

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """What another model chose for one text.

    Attributes:
        view: those candidates that the main gallery has.
        missing: ids of those that it lacks, best first.
        unlisted: how many videos of the main gallery the other gallery lacks, so that no text chooses them.
        version: of the other gallery.
    """

    view: View
    missing: Sequence[str]
    unlisted: int
    version: int

    def told(self, manifest: Manifest) -> dict[str, Any]:
        """It as JSON's types; ``manifest`` is that of the model that chose."""
        return {
            "system": manifest.system,
            "fingerprint": manifest.fingerprint,
            "version": self.version,
            "chosen": self.view.count + len(self.missing),
            "missing": list(self.missing),
            "unlisted": self.unlisted,
        }


class Chooser:
    """Finds candidates; not to be shared between threads.

    Attributes:
        manifest: of the model that chooses.
        text: names of the tensors of its text record.

    The gallery is brought up to date before each choice, and not from a thread. Whoever fills both writes this one
    first, so a video that the main gallery shows can be chosen, and next to the pairs that follow the look is nothing.

    Args:
        scorer: its scorer's graph.
        most: candidates of a text.
        gpu: as for ``ranker_of``.

    Raises:
        BundleError, GalleryError: its scorer or its gallery can't be used.
    """

    def __init__(self, manifest: Manifest, gallery: Gallery, scorer: Path, most: int, gpu: int | None = None) -> None:
        self.manifest, self._most = manifest, most
        self.text = [port.name for port in manifest.graphs[TEXT_ENCODER].outputs]
        self._ranker, read = ranker_of(manifest, scorer, gpu)
        lanes = scorer_of(manifest).lanes
        self._snapshot = Snapshot(gallery.reader(), read, lanes, cache=gallery.root / CACHE, patient=True)
        self._compared: tuple[int, int] | None = None
        self._unlisted = 0

    def choose(self, main: Snapshot, view: View, text: Tensors) -> Chosen:
        """The candidates for one text.

        Args:
            main: the gallery that is searched, and ``view`` its state, or a part of it: candidates are of that part.
            text: the text's record by the model that chooses, float32 [1, ...] per tensor.

        Raises:
            GalleryError: the gallery that chooses can't be read.
        """
        own = self._latest()
        (ranked,) = self._ranker.rank(_within(own, view), text, [self._most])
        rows = ranked.rows
        part, missing = main.among(view, [own.ids[row] for row in rows.tolist()])
        part = _chosen(part, view, own, rows)
        return Chosen(part, missing, self._lacked(view, own), own.version)

    def close(self) -> None:
        """Give up what is under way in the background."""
        self._snapshot.close()

    def _latest(self) -> View:
        try:
            self._snapshot.refresh()
        except GalleryError as error:
            if self._snapshot.fault is None:
                _log.warning("candidates are chosen from version %d: %s", self._snapshot.view.version, error)
        if (fault := self._snapshot.fault) is not None:
            raise GalleryError(f"the gallery that chooses candidates can't be read: {fault}")
        return self._snapshot.view

    def _lacked(self, view: View, own: View) -> int:
        if self._compared != (versions := (view.version, own.version)):
            self._unlisted = len(_ids(replace(view, chosen=None)) - _ids(own))
            self._compared = versions
        return self._unlisted


def _chosen(part: View, view: View, own: View, rows: npt.NDArray[np.intp]) -> View:
    """Of the rows of the chosen videos those of the chosen segments, where both galleries have a film cut alike."""
    kept = part.rows()
    if view.chosen is not None:
        kept = np.intersect1d(kept, view.chosen)
    if part.segments is not None and own.segments is not None and own.counts is not None and part.counts is not None:
        chosen = {(own.ids[row], int(own.segments[row])) for row in rows.tolist()}
        counts = {own.ids[row]: int(own.counts[row]) for row in rows.tolist()}
        alike = [
            (part.ids[row], int(part.segments[row])) in chosen or part.counts[row] != counts[part.ids[row]]
            for row in kept.tolist()
        ]
        kept = kept[np.array(alike, np.bool_)]
    return replace(part, chosen=kept, count=len(kept))


def _ids(view: View) -> set[str]:
    return {view.ids[row] for row in view.rows().tolist()}


def _within(own: View, view: View) -> View:
    """The videos of the gallery that chooses which a part of the main one has; all of them for the whole one."""
    if view.chosen is None:
        return own
    wanted = _ids(view)
    rows = np.array([row for row in own.rows().tolist() if own.ids[row] in wanted], np.int64)
    return replace(own, count=len(rows), chosen=rows)
