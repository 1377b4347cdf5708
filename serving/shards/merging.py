"""The answers of all shards to one search as the answer that one server would give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_FACT_BYTES
from ...export.bundle.packing import pack_rows
from ...export.bundle.ports import ATTENTION, EXACT, ID_LENGTHS, IDS, RECALL, RESCORED, SCORES, TIMESTAMPS
from ..backends.hits import level
from .messages import Arrays
from .shard_search import FACT_LENGTHS, FACTS, FAULTS, NUMBERS

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hits:
    """One text's hits, best first, all [n].

    Attributes:
        shards: of which shard each is.
        places: where it stands among the hits of all shards, see ``Joined``.
        scores: of the hits.
        numbers: of the hits' rows.
        films: of the first rows of their videos.
    """

    shards: Places
    places: Places
    scores: npt.NDArray[np.float32]
    numbers: Places
    films: Places

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, places: slice | npt.NDArray[Any]) -> Hits:
        """Some of them."""
        of = (self.shards[places], self.places[places])
        return Hits(*of, self.scores[places], self.numbers[places], self.films[places])


class Joined:
    """Several shards' answers to one request, side by side: of every text the hits of one after those of another."""

    def __init__(self, parts: Sequence[tuple[int, Arrays]]) -> None:
        self.parts = [part for _, part in parts]
        widths = [part[SCORES].shape[1] for part in self.parts]
        self._owners = np.repeat(np.array([shard for shard, _ in parts], np.int64), widths)
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def column(self, name: str) -> npt.NDArray[Any]:
        """An output [B, n, ...] of all shards together."""
        if name not in self._columns:
            self._columns[name] = np.concatenate([part[name] for part in self.parts], axis=1)
        return self._columns[name]

    def merged(self) -> list[Hits]:
        """The hits of every text: by score, and of equal scores the video that was indexed first goes first.

        No two rows of all shards have one number, so there is one order. A shard's hits are the best of its videos, so
        the first n of all are the best n.
        """
        empty, numbers = self.column(ID_LENGTHS) == 0, self.column(NUMBERS)
        scores = self.column(SCORES)
        order = np.lexsort((numbers[..., 0], -scores, empty), axis=-1)
        counts = (~empty).sum(axis=1).tolist()
        found = []
        for row, count in enumerate(counts):
            places = order[row, :count]
            own = numbers[row, places]
            found.append(Hits(self._owners[places], places, scores[row, places], own[:, 0], own[:, 1]))
        return found

    def outputs(self, found: Sequence[Hits]) -> dict[str, npt.NDArray[Any]]:
        """The tensors of an answer but for its version and details, see ``backends.gallery_search``."""
        any_part = self.parts[0]
        weighed = {
            name: level([self.column(name)[row, hits.places] for row, hits in enumerate(found)])
            for name in (ATTENTION, TIMESTAMPS)
            if name in any_part
        }
        proved: dict[str, npt.NDArray[Any]] = {}
        if RESCORED in any_part:
            proved[EXACT] = np.logical_and.reduce([part[EXACT] for part in self.parts])
            proved[RESCORED] = np.sum([part[RESCORED] for part in self.parts], axis=0)
        if RECALL in any_part:
            # What all of them promise.
            proved[RECALL] = np.minimum.reduce([part[RECALL] for part in self.parts])
        lengths = self.column(ID_LENGTHS)
        return {
            IDS: pack_rows([b"".join(self._ids.of(row, hits.places)) for row, hits in enumerate(found)]),
            ID_LENGTHS: level([lengths[row, hits.places] for row, hits in enumerate(found)]),
            SCORES: level([hits.scores for hits in found], -np.inf),
            **weighed,
            **proved,
        }

    def facts(self, row: int, hits: Hits) -> list[str]:
        """The facts of one text's hits as JSON, as many as there is room for."""
        found, left = [], MAX_FACT_BYTES
        sizes = self.column(FACT_LENGTHS)[row, hits.places].tolist()
        for size, raw in zip(sizes, self._facts.of(row, hits.places), strict=True):
            text = raw.decode()
            # Of what is too much for one shard's hits already there is the size alone.
            left -= len(text) if size > 0 else -size
            found.append(text if size > 0 and left >= 0 else "null")
        return found

    @cached_property
    def _ids(self) -> _Texts:
        return _Texts(self, IDS, ID_LENGTHS)

    @cached_property
    def _facts(self) -> _Texts:
        return _Texts(self, FACTS, FACT_LENGTHS)


class _Texts:
    """Texts that every shard has joined, for each of its hits one."""

    def __init__(self, joined: Joined, name: str, lengths: str) -> None:
        self._raws = joined.column(name)
        before, ends = 0, []
        for part in joined.parts:
            ends.append(before + np.cumsum(np.maximum(part[lengths], 0), axis=1, dtype=np.int64))
            before += part[name].shape[1]
        self._ends = np.concatenate(ends, axis=1)
        self._sizes = np.maximum(joined.column(lengths), 0)

    def of(self, row: int, places: Places) -> list[bytes]:
        """Those of one text's hits."""
        raw = self._raws[row].tobytes()
        ends, sizes = self._ends[row, places].tolist(), self._sizes[row, places].tolist()
        return [raw[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def check_filter(parts: Mapping[int, Arrays]) -> None:
    """Refuse a filter that fits the videos of no shard.

    Raises:
        InvalidRequest: a field that no video has, or a value of a kind that it never has.
    """
    told = [json.loads(part[FAULTS].tobytes()) for part in parts.values() if FAULTS in part]
    faults = [each for each in told if each is not None]
    if faults and (shared := set.intersection(*map(set, faults))):
        raise InvalidRequest(faults[0][min(shared, key=int)])
