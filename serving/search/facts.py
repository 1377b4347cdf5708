"""What a gallery knows of its videos beside their records: where each came from, how long it is, its metadata.

Rows are known by their sequence numbers, so nothing here has to move when the records in memory do.
"""

from __future__ import annotations

import bisect
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import CUTTING, DURATION, END, ID, METADATA, SEGMENT, SEGMENTS, SOURCE, START
from ...export.bundle.segments import Segment
from ..gallery.fact import Fact
from ..gallery.reader import Reader
from ..gallery.schema import SEQUENCE
from .pieces import aside

_TEXTS = (ID, SOURCE, METADATA, CUTTING)
_NUMBERS = (DURATION, SEGMENT, SEGMENTS, START, END)
# A piece joins its neighbour when that is no more than so many times as large: a row is copied a few times, and there
# are a few pieces, however many rows there are and however they came.
_RATIO = 2

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows in the order of their numbers int64 [n]: ``texts`` and ``values`` are columns of n by name.

    Values are seconds float32, and which segment of how many a row is, int32.
    """

    numbers: Numbers
    texts: Mapping[str, pa.Array]
    values: Mapping[str, npt.NDArray[Any]]

    def fact(self, place: int) -> Fact:
        """One row."""
        id_, source, metadata, cutting = (self.texts[name][place].as_py() for name in _TEXTS)
        values = self.values
        segment = Segment(
            int(values[SEGMENT][place]),
            int(values[SEGMENTS][place]),
            float(values[START][place]),
            float(values[END][place]),
        )
        return Fact(id_, source, float(values[DURATION][place]), metadata, segment, cutting)

    def take(self, places: npt.NDArray[np.intp]) -> Piece:
        """Some of the rows, by ascending places."""
        texts = {name: column.take(pa.array(places)) for name, column in self.texts.items()}
        return Piece(self.numbers[places], texts, {name: column[places] for name, column in self.values.items()})


class Facts:
    """Follows a gallery's facts, beside the search's own thread: pieces are replaced, never changed.

    Args:
        reader: of nobody else.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._known: frozenset[int] = frozenset()
        self._version = -1
        self._kept: Numbers | None = None
        self._pieces: tuple[Piece, ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All rows that were read, in the order of their numbers."""
        return self._pieces

    @property
    def read(self) -> bool:
        """Whether they were read once."""
        return self._version >= 0

    def follow(self, version: int) -> None:
        """Read what is new up to a version of the gallery.

        Raises:
            GalleryError: it can't be read, or has changed on disk; what was read before is still there.
        """
        if self._version >= version:
            return
        with self._lock:
            if self._version >= version:
                return
            now = self._reader.advance()
            parts = self._reader.parts()
            fresh = [number for number in parts if number not in self._known]
            # Fragments that merged others hold nothing new.
            last = int(self._pieces[-1].numbers[-1]) if self._pieces else -1
            found = _piece(self._reader.batches((*_TEXTS[1:], *_NUMBERS), last, fresh)) if fresh else None
            self._known = frozenset(parts)
            if found is not None:
                self._pieces = _settled((*self._pieces, found))
            self._version = now

    def latest(self, id_: str) -> Fact | None:
        """What the gallery knows of a video now, read from the table; None where it is gone.

        Raises:
            GalleryError: the gallery can't be read.
        """
        with self._lock:
            self._reader.advance()
            return self._reader.describe([id_]).get(id_)

    def newest(self, ids: Sequence[str]) -> Piece | None:
        """All rows of some videos as they are now, read from the table; None where none is there.

        Raises:
            GalleryError: the gallery can't be read.
        """
        with self._lock:
            self._reader.advance()
            return _piece(self._reader.named(ids, (*_TEXTS[1:], *_NUMBERS)))

    def start(self, then: Callable[[], None]) -> None:
        """Read all facts in a thread of its own, and go on with ``then``; whoever needs them waits in ``follow``."""
        aside(partial(self._begin, then), "gallery-facts")

    def forget(self, kept: Numbers | None = None) -> None:
        """Leave out all rows but those of these numbers, ascending; or everything, to be read anew.

        Rows stay until the next time, because somebody may still hold a view that has them.
        """
        with self._lock:
            if kept is None:
                self._known, self._pieces, self._version, self._kept = frozenset(), (), -1, None
                return
            before, self._kept = self._kept, kept.copy()
            if before is None:
                return
            kept, left = before, []
            for piece in self._pieces:
                # Later rows than the last that is kept are only just being read.
                there = np.isin(piece.numbers, kept, assume_unique=True) | (piece.numbers > kept[-1:].max(initial=-1))
                left.append(piece if there.all() else piece.take(np.flatnonzero(there)))
            self._pieces = _settled(tuple(piece for piece in left if len(piece.numbers)))

    def of(self, numbers: Sequence[int]) -> list[Fact | None]:
        """The facts of rows by their numbers; None of those that are not there."""
        pieces = self._pieces
        starts = [int(piece.numbers[0]) for piece in pieces]
        found: list[Fact | None] = []
        for number in numbers:
            piece = pieces[at] if (at := bisect.bisect_right(starts, number) - 1) >= 0 else None
            place = 0 if piece is None else int(np.searchsorted(piece.numbers, number))
            there = piece is not None and place < len(piece.numbers) and piece.numbers[place] == number
            found.append(piece.fact(place) if piece is not None and there else None)
        return found

    def _begin(self, then: Callable[[], None]) -> None:
        # Whoever asks next tries again, and is told.
        with contextlib.suppress(GalleryError):
            self.follow(0)
            then()


def _piece(read: Iterable[pa.RecordBatch]) -> Piece | None:
    batches = list(read)
    if not batches:
        return None
    found = pa.Table.from_batches(batches)
    if not found.num_rows:
        return None
    numbers = found.column(SEQUENCE).to_numpy()
    order = np.argsort(numbers)
    # With room for more than 2 GiB in a column.
    texts = {name: pa.concat_arrays(found.column(name).cast(pa.large_string()).chunks) for name in _TEXTS}
    return Piece(numbers, texts, {name: found.column(name).to_numpy() for name in _NUMBERS}).take(order)


def _settled(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    while len(pieces) > 1 and len(pieces[-2].numbers) <= _RATIO * len(pieces[-1].numbers):
        pieces = (*pieces[:-2], _joined(*pieces[-2:]))
    return pieces


def _joined(first: Piece, second: Piece) -> Piece:
    texts = {name: pa.concat_arrays([first.texts[name], second.texts[name]]) for name in _TEXTS}
    numbers = np.concatenate([first.numbers, second.numbers])
    values = {name: np.concatenate([first.values[name], second.values[name]]) for name in _NUMBERS}
    return Piece(numbers, texts, values)
