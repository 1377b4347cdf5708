"""The answers of all shards to one search as the answer that one server would give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_FACT_BYTES
from ...export.bundle.packing import pack_rows
from ...export.bundle.ports import ATTENTION, DETAILS, EXACT, ID_LENGTHS, IDS, RESCORED, SCORES, TIMESTAMPS
from ..backends.hits import level
from .messages import Arrays
from .shard_search import FAULTS, NUMBERS

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hits:
    """One text's hits, best first: of which shard each is, its place there, its score and its row's number, all [n]."""

    shards: Places
    places: Places
    scores: npt.NDArray[np.float32]
    numbers: Places

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, places: slice | npt.NDArray[Any]) -> Hits:
        """Some of them."""
        return Hits(self.shards[places], self.places[places], self.scores[places], self.numbers[places])


def merge(parts: Mapping[int, Arrays], row: int) -> Hits:
    """The hits of one text over all shards: by score, and of equal scores the video that was indexed first goes first.

    No two rows of all shards have one number, so there is one order. A shard's hits are the best of its videos, so the
    first n of all are the best n.
    """
    found = [(shard, part, np.flatnonzero(part[ID_LENGTHS][row])) for shard, part in parts.items()]
    shards = np.concatenate([np.full(len(places), shard) for shard, _, places in found])
    scores = np.concatenate([part[SCORES][row, places] for _, part, places in found])
    numbers = np.concatenate([part[NUMBERS][row, places] for _, part, places in found])
    hits = Hits(shards, np.concatenate([places for _, _, places in found]), scores, numbers)
    return hits.take(np.lexsort((numbers, -scores)))


def outputs(parts: Mapping[int, Arrays], found: Sequence[Hits]) -> dict[str, npt.NDArray[Any]]:
    """The tensors of an answer but for its version and details, see ``backends.gallery_search``."""
    any_part = next(iter(parts.values()))
    ids = [_ids(parts, hits, row) for row, hits in enumerate(found)]
    lengths = [np.array([len(id_) for id_ in each], np.int32) for each in ids]
    weighed = {
        name: level([_gathered(parts, hits, row, name) for row, hits in enumerate(found)])
        for name in (ATTENTION, TIMESTAMPS)
        if name in any_part
    }
    proved: dict[str, npt.NDArray[Any]] = {}
    if RESCORED in any_part:
        proved[EXACT] = np.logical_and.reduce([part[EXACT] for part in parts.values()])
        proved[RESCORED] = np.sum([part[RESCORED] for part in parts.values()], axis=0)
    return {
        IDS: pack_rows([b"".join(each) for each in ids]),
        ID_LENGTHS: level(lengths),
        SCORES: level([hits.scores for hits in found], -np.inf),
        **weighed,
        **proved,
    }


def details_of(parts: Mapping[int, Arrays], row: int) -> dict[int, dict[str, Any]]:
    """What every shard tells of one text's hits beside them."""
    return {shard: json.loads(part[DETAILS][row].tobytes().rstrip(b"\0")) for shard, part in parts.items()}


def facts_of(told: Mapping[int, Mapping[str, Any]], hits: Hits) -> list[str]:
    """The facts of hits as JSON, as many as there is room for."""
    found, left = [], MAX_FACT_BYTES
    for shard, place in zip(hits.shards.tolist(), hits.places.tolist(), strict=True):
        text = json.dumps(told[shard]["hits"][place], ensure_ascii=False, separators=(",", ":"))
        left -= len(text)
        found.append(text if left >= 0 else "null")
    return found


def check_filter(parts: Mapping[int, Arrays]) -> None:
    """Refuse a filter that fits the videos of no shard.

    Raises:
        InvalidRequest: a field that no video has, or a value of a kind that it never has.
    """
    told = [json.loads(part[FAULTS].tobytes()) for part in parts.values() if FAULTS in part]
    faults = [each for each in told if each is not None]
    if faults and (shared := set.intersection(*map(set, faults))):
        raise InvalidRequest(faults[0][min(shared, key=int)])


def _ids(parts: Mapping[int, Arrays], hits: Hits, row: int) -> list[bytes]:
    raw, ends = {}, {}
    for shard, part in parts.items():
        raw[shard], ends[shard] = part[IDS][row].tobytes(), np.cumsum(part[ID_LENGTHS][row]).tolist()
    found = []
    for shard, place in zip(hits.shards.tolist(), hits.places.tolist(), strict=True):
        found.append(raw[shard][ends[shard][place - 1] if place else 0 : ends[shard][place]])
    return found


def _gathered(parts: Mapping[int, Arrays], hits: Hits, row: int, name: str) -> npt.NDArray[Any]:
    any_part = next(iter(parts.values()))[name]
    values = np.empty((len(hits), *any_part.shape[2:]), any_part.dtype)
    for shard, part in parts.items():
        own = hits.shards == shard
        values[own] = part[name][row, hits.places[own]]
    return values
