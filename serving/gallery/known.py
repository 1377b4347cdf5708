"""Ids and digests of a gallery in memory, for whoever asks for so many that reading all once is less work.

56 bytes a video. An id is known by two hashes of 64 bits, keyed anew in every process: that two ids have both the same
does not happen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.ports import ID
from .reader import Reader, contents
from .table import Part

# Reading a row costs about a sixteenth of finding one of many ids by the table's index; of few ids it never pays.
WORTH, _FEW = 16, 64
# A run of rows is joined with the one before where that is not so many times as long.
_STEP = 4

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Run:
    """Videos in the order of their first hash: both hashes int64 [R], digests uint8 [R, 32], and where their rows lie:
    which part, by a number of this process, and which row of it.
    """

    keys: Array
    others: Array
    digests: Array
    parts: Array
    rows: Array

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, places: Array) -> _Run:
        return _Run(*(array[places] for array in self._arrays()))

    @staticmethod
    def joined(runs: Sequence[_Run]) -> _Run:
        made = _Run(*(np.concatenate(arrays) for arrays in zip(*(run._arrays() for run in runs), strict=True)))
        return made.take(np.argsort(made.keys, kind="stable"))

    def _arrays(self) -> tuple[Array, ...]:
        return self.keys, self.others, self.digests, self.parts, self.rows


class Known:
    """What a reader's version of the gallery has, as of the last time that it was followed; not for several threads.

    New parts of the table are read as they come. Of those that have lost rows the table says which are left.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._parts: dict[int, tuple[Part, int]] = {}
        # By the number of a part which of its rows are left: those that were read, all of these, or none.
        self._left: dict[int, Array | None] = {}
        self._spoilt: set[int] = set()
        self._runs: list[_Run] = []
        self._next = 0

    def find(self, reader: Reader, ids: Sequence[str]) -> dict[str, bytes]:
        """The digests of those ``ids`` that the reader's version has: by the index until enough were asked for.

        Raises:
            GalleryError: as ``Reader.digests``.
        """
        self._asked += len(ids) if len(ids) >= _FEW else 0
        if len(ids) < _FEW or self._asked * WORTH < reader.rows:
            return reader.digests(ids)
        self.follow(reader)
        found = self.digests(ids)
        if not self._spoilt:
            return found
        # Videos whose data have changed are not in memory: the table tells of them, and of no others.
        return found | reader.digests([id_ for id_ in ids if id_ not in found])

    def follow(self, reader: Reader) -> None:
        """Have what the reader's version has.

        Raises:
            GalleryError: it can't be read.
        """
        now, before = reader.parts(), self._parts
        new = [number for number, part in now.items() if number not in before or before[number][0].file != part.file]
        fewer = [number for number, part in now.items() if number not in new and before[number][0] != part]
        read, left = list(self._read(reader, new)), reader.places(fewer)
        kept = {number: (part, before[number][1]) for number, part in now.items() if number not in new}
        for number, serial, _ in read:
            kept[number] = now[number], serial
            self._left[serial] = None
        for number, places in left.items():
            self._left[kept[number][1]] = mask = np.zeros(now[number].rows, np.bool_)
            mask[places] = True
        self._parts = kept
        held = {serial for _, serial in kept.values()}
        self._left = {serial: mask for serial, mask in self._left.items() if serial in held}
        self._spoilt &= held
        self._add([run for _, _, run in read if run is not None])

    def digests(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The digests of those ``ids`` that are there."""
        keys, others = _hashes(ids)
        # What is read one after another is on its way before it is needed.
        order = np.argsort(keys)
        keys, others = keys[order], others[order]
        found: dict[str, bytes] = {}
        for run in self._runs:
            first = np.searchsorted(run.keys, keys)
            counts = np.searchsorted(run.keys, keys, side="right") - first
            asked = np.repeat(np.arange(len(keys)), counts)
            # One after another from the first that has the same hash.
            at = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(len(asked))
            good = np.flatnonzero((run.others[at] == others[asked]) & self._alive(run, at))
            digests = run.digests[at[good]].view(f"V{DIGEST_BYTES}").ravel().tolist()
            found.update(zip((ids[q] for q in order[asked[good]].tolist()), digests, strict=True))
        return found

    def _add(self, runs: Sequence[_Run]) -> None:
        if runs:
            self._runs.append(_Run.joined(runs))
        while len(self._runs) > 1 and len(self._runs[-2]) < _STEP * len(self._runs[-1]):
            last = [run.take(np.flatnonzero(self._alive(run, np.arange(len(run))))) for run in self._runs[-2:]]
            self._runs[-2:] = [_Run.joined(last)]

    def _alive(self, run: _Run, at: Array) -> Array:
        """Which of a run's videos are left, bool [N]."""
        parts, rows = run.parts[at], run.rows[at]
        alive = np.zeros(len(at), np.bool_)
        for serial in np.unique(parts).tolist():
            if serial in self._left:
                of = np.flatnonzero(parts == serial)
                mask = self._left[serial]
                alive[of] = True if mask is None else mask[rows[of]]
        return alive

    def _read(self, reader: Reader, of: Sequence[int]) -> Iterator[tuple[int, int, _Run | None]]:
        """The videos of some parts, each with its two numbers: the table's, and this process'."""
        for number in of:
            self._next += 1
            runs = []
            for batch, rows, spoilt in reader.first_rows(number):
                if spoilt:
                    self._spoilt.add(self._next)
                ids = batch.column(ID).to_pylist()
                digests = np.frombuffer(b"".join(contents(batch)), np.uint8).reshape(-1, DIGEST_BYTES)
                made = _Run(*_hashes(ids), digests, np.full(len(ids), self._next, np.int32), rows.astype(np.uint32))
                runs.append(made.take(np.delete(np.arange(len(ids)), spoilt)))
            yield number, self._next, _Run.joined(runs) if runs else None


def _hashes(ids: Sequence[str]) -> tuple[Array, Array]:
    one = np.fromiter(map(hash, ids), np.int64, len(ids))
    # By hashes of the same key of texts that differ in their length: neither follows from the other.
    return one, np.fromiter((hash(f"{id_}\0") for id_ in ids), np.int64, len(ids))
