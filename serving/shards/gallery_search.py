"""Text embeddings to the best videos of a gallery in shards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...export.bundle.checks import check_top
from ...export.bundle.errors import FramesiftError, InvalidInput, InvalidRequest, ServerUnavailable
from ...export.bundle.packing import pack_joined
from ...export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, DETAILS, OPTIONS, TOP, VERSION
from ...export.bundle.scorers import scorer_of, shortlist_size
from ...export.bundle.store import read_manifest
from ..backends.base import Arrays, Backend
from ..backends.gauges import GALLERY_VERSION, GALLERY_VIDEOS, REPLICAS_MISSING, SHARDS_MISSING
from ..backends.hits import text_rows
from ..backends.searches import candidates
from ..gallery.shard import part_of
from ..search.listing import joined
from ..search.options import Options
from .first_stage import Chosen, choose
from .fleet import Answers, Fleet
from .merging import Joined, check_filter
from .messages import SEARCH, Message, Part
from .paging import ShardPage
from .shard import SEEN, VIDEOS
from .shard_search import AMONG, MORE

_READ_HERE = (TOP, CANDIDATES, CANDIDATE_LENGTHS, OPTIONS)
_PARTIAL = "ask again in a moment, or, with `partial`, for what the others find"


class _Asked(NamedTuple):
    """A request, and what each shard that it is for is asked."""

    request: Mapping[str, np.ndarray[Any, Any]]
    page: ShardPage
    chosen: Chosen
    detailed: bool


class GallerySearch(Backend):
    """Reads and writes what ``backends.gallery_search.GallerySearch`` does, and answers as it would with all videos.

    A request's vectors go to all shards, or to those that keep the videos that it names. ``version`` int64 [B, 1] is
    one up to which all of them have everything. Where a shard does not answer in time the request fails, unless its
    options ask for a ``partial`` answer: then ``details`` names the shards that are ``missing``.
    """

    _fleet: Fleet
    _videos: Mapping[int, int] = {}
    _seen = 0
    _missing = 0
    _shortlist: int | None = None
    _model = ""

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Find the shards."""
        manifest = read_manifest(folder)
        self._shortlist = shortlist_size(manifest) if scorer_of(manifest).search == "shortlist" else None
        self._model = manifest.fingerprint
        self._fleet = Fleet.of_environment()

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one message to each shard; one that can't be answered does not touch the others."""
        self._fleet.turn()
        asked: list[_Asked | FramesiftError] = []
        for request in inputs:
            try:
                asked.append(self._shortened(self._asked(request)))
            except FramesiftError as error:
                asked.append(error)
        places: dict[int, list[int]] = {shard: [] for shard in range(self._fleet.count)}
        for place, each in enumerate(asked):
            for shard in each.chosen.parts if isinstance(each, _Asked) else ():
                places[shard].append(place)
        goes_on = any(isinstance(each, _Asked) and each.page.cursor is not None for each in asked)
        answers = self._fleet.ask(SEARCH, self._messages(asked, places), oldest=goes_on)
        self._note(answers)
        return [
            self._answer(each, self._found(answers, places, place)) if isinstance(each, _Asked) else each
            for place, each in enumerate(asked)
        ]

    def gauges(self) -> dict[str, float]:
        """The gallery that is searched."""
        return {
            GALLERY_VIDEOS: sum(self._videos.values()),
            GALLERY_VERSION: self._seen,
            SHARDS_MISSING: self._missing,
            REPLICAS_MISSING: self._fleet.away,
        }

    def finalize(self) -> None:
        """Let go of the shards."""
        self._fleet.close()

    def _asked(self, request: Mapping[str, np.ndarray[Any, Any]]) -> _Asked:
        given, named = Options.of(request), candidates(request)
        options = given or Options()
        count = self._fleet.count
        if options.list:
            page = ShardPage.of(options, (), options.top, count, self._model, None)
            same = _array(page.asked_of(0, ())) if page.cursor is None else None
            listed = {
                shard: {OPTIONS: _array(page.asked_of(shard, ())) if same is None else same} for shard in range(count)
            }
            return _Asked(request, page, Chosen(listed), True)
        wanted = check_top(int(request[TOP].max()))
        page = ShardPage.of(options, named, wanted, count, self._model, self._shortlist)
        if page.cursor is not None and len(request[TOP]) > 1:
            raise InvalidRequest("a cursor is of one text: ask for the next pages of several one by one")
        top = request[TOP] + (page.ranked - wanted)
        text = {name: array for name, array in request.items() if name not in _READ_HERE}
        shared = {**text, TOP: top.astype(np.int32)}
        if not named and page.cursor is None:
            # One object, which is packed once.
            options_of = {} if given is None else {OPTIONS: _repeated(page.asked_of(0, ()), len(top))}
            every = {**shared, **options_of}
            return _Asked(request, page, Chosen(dict.fromkeys(range(count), every)), given is not None)
        kept: dict[int, list[str]] = {}
        for id_ in named:
            kept.setdefault(part_of(id_, count), []).append(id_)
        parts = {}
        for shard in sorted(kept) if named else range(count):
            if not page.lacks(shard):
                own = kept.get(shard, [])
                options_of = {} if given is None else {OPTIONS: _repeated(page.asked_of(shard, own), len(top))}
                parts[shard] = {**shared, **options_of, **_named(own, len(top))}
        return _Asked(request, page, Chosen(parts), given is not None)

    def _shortened(self, asked: _Asked) -> _Asked:
        """The same where the scorer reads a short list of all shards' videos, once that is chosen."""
        if asked.page.most is None or asked.page.named:
            return asked
        return asked._replace(chosen=choose(self._fleet, asked.page, asked.chosen.parts))

    def _messages(self, asked: Sequence[Any], places: Mapping[int, Sequence[int]]) -> dict[int, Message]:
        """What each shard gets; those that get the same get one object."""
        messages: dict[int, Message] = {}
        made: dict[tuple[int, ...], Message] = {}
        for shard, own in places.items():
            if own:
                parts = [asked[place].chosen.parts[shard] for place in own]
                key = tuple(id(part) for part in parts)
                messages[shard] = made.setdefault(key, Message(parts))
        return messages

    def _found(self, answers: Answers, places: Mapping[int, Sequence[int]], place: int) -> dict[int, tuple[Part, int]]:
        """What every shard answers one request, with the version up to which it has everything."""
        found: dict[int, tuple[Part, int]] = {}
        for shard, own in places.items():
            if place in own:
                answer = answers[shard]
                if isinstance(answer, FramesiftError):
                    found[shard] = answer, 0
                else:
                    found[shard] = answer.parts[own.index(place)], int(answer.head[SEEN])
        return found

    def _answer(self, asked: _Asked, found: Mapping[int, tuple[Part, int]]) -> Arrays | FramesiftError:
        page = asked.page
        errors = {
            **asked.chosen.lost,
            **{s: part for s, (part, _) in found.items() if isinstance(part, FramesiftError)},
        }
        parts = {shard: part for shard, (part, _) in found.items() if not isinstance(part, FramesiftError)}
        for error in errors.values():
            if isinstance(error, InvalidInput):
                return error
        absent = [shard for shard in range(page.shards) if page.lacks(shard)]
        if (absent or errors) and not (page.options.partial and parts):
            error = next(iter(errors.values()), None) or ServerUnavailable("the pages before lack a shard")
            return type(error)(f"{error}: {_PARTIAL}")
        seen = min(min(found[shard][1], asked.chosen.seen.get(shard, found[shard][1])) for shard in parts)
        version = seen if page.cursor is None else page.cursor.version
        missing = [f"{shard}/{page.shards}" for shard in sorted({*errors, *absent})]
        try:
            check_filter(parts)
            if page.options.list:
                return self._listed(page, parts, version)
            return self._merged(asked, parts, version, missing)
        except FramesiftError as fault:
            return fault

    def _listed(self, page: ShardPage, parts: Mapping[int, Any], version: int) -> Arrays:
        told = {shard: json.loads(part[DETAILS][0].tobytes().rstrip(b"\0")) for shard, part in parts.items()}
        return {DETAILS: text_rows([page.listed(told, version)])}

    def _merged(self, asked: _Asked, parts: Mapping[int, Any], version: int, missing: Sequence[str]) -> Arrays:
        page, joined_ = asked.page, Joined([*parts.items()])
        found = joined_.merged()
        if not asked.detailed:
            hits = [each.take(slice(page.top)) for each in found]
            return {**joined_.outputs(hits), VERSION: np.full((len(hits), 1), version, np.int64)}
        versions = {shard: int(part[VERSION][0, 0]) for shard, part in parts.items()}
        among, more = joined_.column(AMONG).sum(axis=1).tolist(), joined_.column(MORE).any(axis=1).tolist()
        beside = {"missing": list(missing)} if page.options.partial else {}
        cut, details = [], []
        for row, each in enumerate(found):
            own, after = page.cut(each, versions, version, more=more[row], among=among[row])
            facts = joined_.facts(row, own) if page.options.facts else []
            cut.append(own)
            details.append(joined(facts, "hits", next=after, among=among[row], **beside))
        told = {VERSION: np.full((len(cut), 1), version, np.int64), DETAILS: text_rows(details)}
        return {**joined_.outputs(cut), **told}

    def _note(self, answers: Answers) -> None:
        told = {
            s: answer.head for s, answer in answers.items() if isinstance(answer, Message) and VIDEOS in answer.head
        }
        self._videos = {**self._videos, **{shard: int(head[VIDEOS]) for shard, head in told.items()}}
        self._seen = min((int(head[SEEN]) for head in told.values()), default=self._seen)
        self._missing = len(answers) - len(told)


def _array(raw: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(raw, np.uint8)[None]


def _repeated(raw: bytes, rows: int) -> np.ndarray[Any, Any]:
    return np.repeat(_array(raw), rows, axis=0)


def _named(ids: Sequence[str], rows: int) -> Arrays:
    if not ids:
        return {}
    joined_ids, lengths = pack_joined([id_.encode() for id_ in ids])
    return {
        CANDIDATES: np.repeat(joined_ids[None], rows, axis=0),
        CANDIDATE_LENGTHS: np.repeat(lengths[None], rows, axis=0),
    }
