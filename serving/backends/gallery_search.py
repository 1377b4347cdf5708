"""Text embeddings to the best videos of the gallery."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import check_top
from ...export.bundle.errors import FramesiftError, GalleryError, InvalidQuery, InvalidRequest
from ...export.bundle.limits import MAX_TOP
from ...export.bundle.models import SHORTLIST_VARIABLE
from ...export.bundle.ports import (
    DETAILS,
    SCORER,
    SHORTLIST,
    TEXT_ENCODER,
    TOP,
)
from ...export.bundle.scorers import scorer_of
from ...export.bundle.shortlist import FOLDER, PREFIX, chooser_in, most_chosen
from ...export.bundle.storages import is_coarse, storage_of
from ...export.bundle.store import read_manifest
from ..gallery.environment import gallery_from_env
from ..gallery.store import CACHE
from ..search.certified_ranking import derived_of
from ..search.chooser import Chooser
from ..search.coarse_ranking import CoarseRanker, with_coarse
from ..search.details import details
from ..search.facts import Facts
from ..search.films import rank_videos
from ..search.filters.matching import Matcher
from ..search.listing import page
from ..search.onnx_scorer import Tensors
from ..search.options import Options
from ..search.paging import Page, mark_of
from ..search.past import Cursor
from ..search.rankers import ranker_of
from ..search.ranking import Ranked, Ranker
from ..search.selecting import Selector
from ..search.snapshot import Snapshot
from ..search.view import View
from .base import Arrays, Backend
from .gauges import GALLERY_RESCORED, GALLERY_VERSION, GALLERY_VIDEOS, coarse_gauges
from .hits import answer, text_rows
from .searches import Asked, candidates


class GallerySearch(Backend):
    """Reads the text record float32 [B, ...] and ``top`` int32 [B, 1]; writes the n best videos of every row.

    Where a request has ``candidates`` uint8 [B, N], ids joined, with their bytes ``candidate_lengths`` int32 [B, M], it
    searches the videos of these ids alone.

    n is the smaller of ``top`` and the number of videos, 0 in an empty gallery; a film that is kept in segments is as
    good as its best one, which is the one that is told of. ``ids`` uint8 [B, W] are a row's ids
    joined, ``id_lengths`` int32 [B, n] their bytes, ``scores`` float32 [B, n] descending, ``timestamps`` float32
    [B, n, F], ``version`` int64 [B, 1] the state of the gallery that was searched; and ``attention`` float32 [B, n, F]
    where the scorer has one weight a frame. Where videos are left out, by proof or by a coarse stage, ``exact`` bool
    [B, 1] says whether the others are surely the best, and ``rescored`` int64 [B, 1] how many were scored; ``recall``
    float32 [B, 1] is what the coarse stage was calibrated to find of the best, and 1 where it had no part.

    A request may have ``options`` uint8 [B, N], see ``search.options``, and is then told of in ``details`` uint8
    [B, D], JSON in every row: of the hits, see ``search.details``, or, whatever else it holds, of a page of the list of
    videos, see ``search.listing``.

    Where another gallery chooses candidates, requests without any hold its model's record of the text too, of one row,
    and ``shortlist`` uint8 [1, W] is JSON that says where candidates came from; empty where the request named them.
    """

    ranker: Ranker | CoarseRanker
    snapshot: Snapshot
    facts: Facts
    selector: Selector
    chooser: Chooser | None = None
    # What a shard does in another way: the most places of a ranking, whether pages tell numbers, and filters.
    most, numbered, matcher = MAX_TOP, False, Matcher
    _rescored: int | None = None
    _model = ""

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load the scorer and the gallery, and follow the gallery from then on."""
        manifest = read_manifest(folder)
        # The metrics' names are decided before the first search.
        self._rescored = 0 if storage_of(manifest) == "int8" or is_coarse(manifest) else None
        self._model = manifest.fingerprint
        self._text = [port.name for port in manifest.graphs[TEXT_ENCODER].outputs]
        self.ranker, read = ranker_of(manifest, folder / f"{SCORER}.onnx", self.gpu)
        gallery, lanes = gallery_from_env(manifest), scorer_of(manifest).lanes
        self.ranker, derived = with_coarse(manifest, self.ranker, derived_of(manifest), gallery)
        # Other models do without the gallery's data, those that mend it among them.
        self.facts = Facts(gallery.reader())
        self.snapshot = Snapshot(
            gallery.reader(),
            read,
            lanes,
            cache=gallery.root / CACHE,
            derived=derived,
            patient=True,
            facts=self.facts,
        )
        self.selector = Selector(self.snapshot, self.facts, self.matcher())
        self.snapshot.start()
        self.facts.start(self.selector.prepare)
        if (chooser := chooser_in(folder)) is not None:
            other, graph = gallery_from_env(chooser, SHORTLIST_VARIABLE), folder / FOLDER / f"{SCORER}.onnx"
            self.chooser = Chooser(chooser, other, graph, most_chosen(manifest), self.gpu)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one pass over the gallery; one that can't be answered does not touch the others.

        None is answered while the gallery's data are not as they were written.
        """
        if (fault := self.snapshot.fault) is not None:
            return [GalleryError(str(fault)) for _ in inputs]
        view = self.snapshot.view
        found: dict[int, Arrays | FramesiftError] = {}
        # Searches for one part of the gallery go together, plain ones among them.
        parts: dict[tuple[Any, ...], tuple[_Part, list[int], list[Asked]]] = {}
        for place, request in enumerate(inputs):
            try:
                options, named = Options.of(request), candidates(request)
                if options is not None and options.list:
                    found[place] = self._listed(view, options)
                    continue
                asked = self._asked(request, options, named)
                # What is chosen by its text is of that text alone.
                key = (*named, asked.where, asked.after, asked.apart, -1 if named or self.chooser is None else place)
                if key not in parts:
                    parts[key] = (self._part(view, asked, named), [], [])
                parts[key][1].append(place)
                parts[key][2].append(asked)
            except FramesiftError as error:
                found[place] = error
        for part, places, together in parts.values():
            try:
                found.update(zip(places, self._ranked(part, together), strict=True))
            except FramesiftError as error:
                found.update(dict.fromkeys(places, error))
        return [found[place] for place in range(len(inputs))]

    def gauges(self) -> dict[str, float]:
        """The gallery that is searched."""
        view = self.snapshot.view
        told: dict[str, float] = {GALLERY_VIDEOS: view.videos, GALLERY_VERSION: view.version}
        told |= {} if self._rescored is None else {GALLERY_RESCORED: self._rescored}
        if isinstance(self.ranker, CoarseRanker):
            told |= coarse_gauges(self.ranker.calibration)
        return told

    def finalize(self) -> None:
        """Stop following the gallery."""
        self.snapshot.close()
        if self.chooser is not None:
            self.chooser.close()

    def written(self, view: View, ranked: Sequence[Ranked], asked: Asked) -> Arrays:
        """The outputs of one request, from the ranking of each of its texts."""
        return answer(view, ranked)

    def beside(self, view: View, hits: Sequence[Ranked], after: Sequence[Cursor | None], facts: Facts | None) -> Arrays:
        """What a request with options is told beside them, from the hits of each text and the cursors behind them."""
        ends = [None if cursor is None else cursor.text() for cursor in after]
        return {DETAILS: text_rows([details(view, facts, *each) for each in zip(hits, ends, strict=True)])}

    def _asked(
        self, request: Mapping[str, np.ndarray[Any, Any]], options: Options | None, named: Sequence[str]
    ) -> Asked:
        top = self._top(request)
        if options is None:
            return Asked(request, top)
        asked = Page.of(options, named, top, self._model)
        if asked.cursor is not None and len(request[TOP]) > 1:
            raise InvalidRequest("a cursor is of one text: ask for the next pages of several one by one")
        return Asked(request, asked.ranks(self.ranker), asked, options)

    def _part(self, view: View, asked: Asked, named: Sequence[str]) -> _Part:
        if named or asked.where or asked.after:
            cursor = None if asked.page is None else asked.page.cursor
            view = self.selector.part(view, named, asked.where, cursor)
        told: Mapping[str, Any] = {}
        if self.chooser is not None and not named:
            # A candidate is a film with all its rows, which the view tells as long as it knows films.
            chosen = self.chooser.choose(self.snapshot, view, {p: asked.request[PREFIX + p] for p in self.chooser.text})
            view, told = chosen.view, chosen.told(self.chooser.manifest)
        if not asked.apart:
            return _Part(view, told)
        return _Part(replace(view, segments=None, counts=None), told, view.segments)

    def _listed(self, view: View, options: Options) -> Arrays:
        mark = mark_of("list", options.where, self._model)
        cursor = Cursor.read(options.after, mark) if options.after else None
        self.facts.follow(view.version)
        part = self.selector.part(view, (), options.where, cursor)
        return {DETAILS: text_rows([page(part, self.facts, options.top, mark, cursor, numbered=self.numbered)])}

    def _ranked(self, part: _Part, asked: Sequence[Asked]) -> list[Arrays]:
        """The answers to requests, in one pass over a part of the gallery."""
        text = {name: np.concatenate([each.request[name] for each in asked]) for name in self._text}
        counts = [len(each.request[TOP]) for each in asked]
        row_tops = [each.top for each, count in zip(asked, counts, strict=True) for _ in range(count)]
        found = self._best(part, text, row_tops)
        self._rescored, ranked = found[-1].rescored, iter(found)
        return [self._answer(part, one, list(islice(ranked, n))) for one, n in zip(asked, counts, strict=True)]

    def _best(self, part: _Part, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """The best videos, or segments where each is a hit of its own, for each text."""
        if not isinstance(self.ranker, CoarseRanker):
            return rank_videos(self.ranker, part.view, text, tops)
        # What was calibrated is of films.
        rank = self.ranker.rank if part.segments is None else self.ranker.exactly
        return rank(part.view, text, tops)

    def _answer(self, part: _Part, asked: Asked, ranked: Sequence[Ranked]) -> Arrays:
        view, told = part.view, dict[str, Any]()
        if self.chooser is not None:
            told[SHORTLIST] = text_rows([json.dumps(part.chosen)] * len(ranked))
        if asked.page is None or asked.options is None:
            return {**self.written(view, ranked, asked), **told}
        if asked.options.facts:
            self.facts.follow(view.version)
        cut = [asked.page.cut(view, each, self.ranker, part.segments) for each in ranked]
        hits, after = zip(*cut, strict=True)
        told.update(self.beside(view, hits, after, self.facts if asked.options.facts else None))
        return {**self.written(view, hits, asked), **told}

    def _top(self, request: Mapping[str, np.ndarray[Any, Any]]) -> int:
        tops = {int(top) for top in request[TOP].ravel()}
        if len(tops) != 1:
            raise InvalidRequest(f"all texts of a request must ask for the same {TOP}, got {sorted(tops)}")
        others = () if self.chooser is None else (PREFIX + name for name in self.chooser.text)
        if not all(np.isfinite(request[name]).all() for name in (*self._text, *others)):
            raise InvalidQuery("the text's embedding is not finite: it can't be compared with anything")
        return check_top(tops.pop(), self.most)


class _Part(NamedTuple):
    """A part of the gallery, and, where another model chose it, how.

    Where each segment is to be a hit of its own, its view tells nothing of films, and ``segments`` int32 [R] their
    numbers, if any film is cut.
    """

    view: View
    chosen: Mapping[str, Any] = {}
    segments: npt.NDArray[np.int32] | None = None
