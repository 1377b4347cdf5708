"""Which videos a gallery in shards has, what is known of them, and changes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.errors import FramesiftError
from ...export.bundle.packing import pack_joined, unpack_joined
from ...export.bundle.ports import (
    CHANGE_LENGTHS,
    CHANGES,
    COUNT,
    DETAILS,
    DIGESTS,
    ID_LENGTHS,
    IDS,
    OPTIONS,
    PRESENT,
    VERSION,
)
from ..backends.base import Arrays, Backend
from ..backends.gallery_lookup import ids_of
from ..gallery.editing import read_changes
from ..gallery.shard import part_of
from ..search.options import Options
from .keeping import Keepers, newest, part_of_answer
from .messages import LOOKUP, Message


class GalleryLookup(Backend):
    """Reads and writes what ``backends.gallery_lookup.GalleryLookup`` does: every shard is asked for its own ids.

    ``count`` is that of all shards, ``version`` the newest of any. Changes are one commit in each shard.
    """

    _keepers: Keepers

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Find the shards."""
        self._keepers = Keepers()

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own."""
        found: list[Arrays | FramesiftError] = []
        for request in inputs:
            try:
                found.append(self._one(request))
            except FramesiftError as error:
                found.append(error)
        return found

    def finalize(self) -> None:
        """Let go of the shards."""
        self._keepers.fleet.close()

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        options, count = Options.of(request) or Options(), self._keepers.fleet.count
        ids = ids_of(request, options)
        changes = unpack_joined(request[CHANGES], request[CHANGE_LENGTHS], CHANGES) if CHANGES in request else None
        parts: dict[int, list[int]] = {shard: [] for shard in range(count)}
        for place, id_ in enumerate(ids):
            parts[part_of(id_, count)].append(place)
        if changes is not None:
            # Before a shard has made its part of them.
            read_changes(ids, changes)
            parts = {shard: places for shard, places in parts.items() if places}
            lost = self._keepers.hear()
            for shard in parts:
                if shard in lost:
                    raise lost[shard]
        messages = {
            shard: Message([_request(request, [ids[p] for p in places], changes and [changes[p] for p in places])])
            for shard, places in parts.items()
        }
        # A change that was sent may have been made: whoever wants it sends it again.
        answers = self._keepers.look(messages) if changes is None else self._keepers.fleet.ask(LOOKUP, messages)
        found = {shard: part_of_answer(answers, shard) for shard in parts}
        self._keepers.note(answers)
        present, digests = np.zeros(len(ids), np.bool_), np.zeros((len(ids), DIGEST_BYTES), np.uint8)
        details: list[Any] = [None] * len(ids)
        for shard, places in parts.items():
            present[places], digests[places] = found[shard][PRESENT], found[shard][DIGESTS]
            for place, told in zip(places, _details(found[shard]), strict=False):
                details[place] = told
        told = json.dumps(details, ensure_ascii=False, separators=(",", ":")) if options.facts else ""
        version = newest([*found.values()]) if found else self._keepers.version
        return {
            PRESENT: present,
            DIGESTS: digests,
            COUNT: np.array([self._keepers.count], np.int64),
            VERSION: np.array([version], np.int64),
            DETAILS: np.frombuffer(told.encode(), np.uint8),
        }


def _request(request: Mapping[str, np.ndarray[Any, Any]], ids: Sequence[str], changes: Sequence[str] | None) -> Arrays:
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    asked: dict[str, np.ndarray[Any, Any]] = {IDS: joined, ID_LENGTHS: lengths}
    if changes is not None:
        asked[CHANGES], asked[CHANGE_LENGTHS] = pack_joined([change.encode() for change in changes])
    if OPTIONS in request:
        asked[OPTIONS] = request[OPTIONS]
    return asked


def _details(part: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
    raw = part[DETAILS].tobytes()
    return list(json.loads(raw)) if raw else []
