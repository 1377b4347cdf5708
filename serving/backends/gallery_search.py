"""Text embeddings to the best videos of the gallery."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.checks import check_top
from ...export.bundle.errors import FramesiftError, GalleryError, InvalidQuery, InvalidRequest
from ...export.bundle.models import SHORTLIST_VARIABLE
from ...export.bundle.packing import pack_joined, pack_rows, unpack_joined
from ...export.bundle.ports import (
    ATTENTION,
    CANDIDATE_LENGTHS,
    CANDIDATES,
    ID_LENGTHS,
    IDS,
    SCORER,
    SCORES,
    SHORTLIST,
    TEXT_ENCODER,
    TIMESTAMPS,
    TOP,
    VERSION,
)
from ...export.bundle.scorers import scorer_of
from ...export.bundle.shortlist import FOLDER, PREFIX, chooser_in, most_chosen
from ...export.bundle.store import read_manifest
from ..gallery.environment import gallery_from_env
from ..gallery.store import CACHE
from ..search.chooser import Chooser
from ..search.rankers import ranker_of
from ..search.ranking import Ranked, Ranker
from ..search.snapshot import Snapshot
from ..search.view import View
from .base import Arrays, Backend
from .gauges import GALLERY_VERSION, GALLERY_VIDEOS


class GallerySearch(Backend):
    """Reads the text record float32 [B, ...] and ``top`` int32 [B, 1]; writes the n best videos of every row.

    Where a request has ``candidates`` uint8 [B, N], ids joined, with their bytes ``candidate_lengths`` int32 [B, M], it
    searches the videos of these ids alone.

    n is the smaller of ``top`` and the number of videos, 0 in an empty gallery. ``ids`` uint8 [B, W] are a row's ids
    joined, ``id_lengths`` int32 [B, n] their bytes, ``scores`` float32 [B, n] descending, ``timestamps`` float32
    [B, n, F], ``version`` int64 [B, 1] the state of the gallery that was searched; and ``attention`` float32 [B, n, F]
    where the scorer has one weight a frame.

    Where another gallery chooses candidates, requests without any hold its model's record of the text too, of one row,
    and ``shortlist`` uint8 [1, W] is JSON that says where candidates came from; empty where the request named them.
    """

    ranker: Ranker
    snapshot: Snapshot
    chooser: Chooser | None = None

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load the scorer and the gallery, and follow the gallery from then on."""
        manifest = read_manifest(folder)
        self._text = self._read = [port.name for port in manifest.graphs[TEXT_ENCODER].outputs]
        self.ranker, read = ranker_of(manifest, folder / f"{SCORER}.onnx", self.gpu)
        gallery, lanes = gallery_from_env(manifest), scorer_of(manifest).lanes
        # Other models do without the gallery's data, those that mend it among them.
        self.snapshot = Snapshot(gallery.reader(), read, lanes, cache=gallery.root / CACHE, patient=True)
        self.snapshot.start()
        if (chooser := chooser_in(folder)) is not None:
            other, graph = gallery_from_env(chooser, SHORTLIST_VARIABLE), folder / FOLDER / f"{SCORER}.onnx"
            self.chooser = Chooser(chooser, other, graph, most_chosen(manifest), self.gpu)
            self._read = [*self._text, *(PREFIX + name for name in self.chooser.text)]

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one pass over the gallery; one that can't be answered does not touch the others.

        None is answered while the gallery's data are not as they were written.
        """
        if (fault := self.snapshot.fault) is not None:
            return [GalleryError(str(fault)) for _ in inputs]
        view = self.snapshot.view
        found: list[Arrays | FramesiftError] = []
        together: list[tuple[int, Mapping[str, np.ndarray[Any, Any]], int]] = []
        for place, request in enumerate(inputs):
            try:
                top, named = self._top(request), candidates(request)
                alone = self._alone(view, request, top, named)
            except FramesiftError as error:
                found.append(error)
            else:
                found.append(alone or {})
                if alone is None:
                    together.append((place, request, top))
        try:
            answers: Sequence[Arrays | FramesiftError] = self._ranked(view, [rest for _, *rest in together])
        except FramesiftError as error:
            answers = [error] * len(together)
        for (place, _, _), each in zip(together, answers, strict=True):
            found[place] = each
        return found

    def gauges(self) -> dict[str, float]:
        """The gallery that is searched."""
        view = self.snapshot.view
        return {GALLERY_VIDEOS: view.count, GALLERY_VERSION: view.version}

    def finalize(self) -> None:
        """Stop following the gallery."""
        self.snapshot.close()
        if self.chooser is not None:
            self.chooser.close()

    def _alone(
        self, view: View, request: Mapping[str, np.ndarray[Any, Any]], top: int, named: Sequence[str]
    ) -> Arrays | None:
        """The answer to a request that is for a part of the gallery; None where it is for all of it."""
        told: dict[str, Any] = {}
        if named:
            view = self.snapshot.only(view, named)
        elif self.chooser is not None:
            text = {port: request[PREFIX + port] for port in self.chooser.text}
            chosen = self.chooser.choose(self.snapshot, view, text)
            view, told = chosen.view, chosen.told(self.chooser.manifest)
        else:
            return None
        (found,) = self._ranked(view, [(request, top)])
        if self.chooser is not None:
            found[SHORTLIST] = pack_rows([json.dumps(told).encode()] * len(request[TOP]))
        return found

    def _ranked(self, view: View, asked: Sequence[Sequence[Any]]) -> list[Arrays]:
        """The answers to requests for so many hits each, in one pass over a view."""
        if not asked:
            return []
        text = {name: np.concatenate([request[name] for request, _ in asked]) for name in self._text}
        counts = [len(request[TOP]) for request, _ in asked]
        row_tops = [top for (_, top), count in zip(asked, counts, strict=True) for _ in range(count)]
        ranked = iter(self.ranker.rank(view, text, row_tops))
        return [answer(view, [next(ranked) for _ in range(count)]) for count in counts]

    def _top(self, request: Mapping[str, np.ndarray[Any, Any]]) -> int:
        tops = {int(top) for top in request[TOP].ravel()}
        if len(tops) != 1:
            raise InvalidRequest(f"all texts of a request must ask for the same {TOP}, got {sorted(tops)}")
        if not all(np.isfinite(request[name]).all() for name in self._read):
            raise InvalidQuery("the text's embedding is not finite: it can't be compared with anything")
        return check_top(tops.pop())


def candidates(request: Mapping[str, np.ndarray[Any, Any]]) -> list[str]:
    """The ids that a request names, the same for all its texts; empty where it searches the whole gallery.

    Raises:
        InvalidRequest: ids that can't be read, or other ones for each text.
    """
    if CANDIDATES not in request or not request[CANDIDATE_LENGTHS].any():
        return []
    joined, lengths = request[CANDIDATES], request[CANDIDATE_LENGTHS]
    if (joined != joined[:1]).any() or (lengths != lengths[:1]).any():
        raise InvalidRequest("all texts of a request must have the same candidates")
    return unpack_joined(joined[0], lengths[0], CANDIDATES)


def answer(view: View, ranked: Sequence[Ranked]) -> Arrays:
    """The outputs of one request, as ``GallerySearch`` writes them, from the ranking of each of its texts."""
    ids = [pack_joined([view.ids[row].encode() for row in row_.rows.tolist()]) for row_ in ranked]
    weights = [row.attention for row in ranked if row.attention is not None]
    return {
        IDS: pack_rows([joined.tobytes() for joined, _ in ids]),
        ID_LENGTHS: np.stack([lengths for _, lengths in ids]),
        SCORES: np.stack([row.scores for row in ranked]),
        **({ATTENTION: np.stack(weights)} if weights else {}),
        TIMESTAMPS: np.stack([view.timestamps[row.rows] for row in ranked]),
        VERSION: np.full((len(ranked), 1), view.version, np.int64),
    }
