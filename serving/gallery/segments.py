"""Rows that are parts of films: which they are, as columns, and what makes a film whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_SEGMENTS
from ...export.bundle.segments import Segment

Ints = npt.NDArray[np.int32]
Seconds = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Segments:
    """Of B rows the number and the count of their films' segments, int32 [B], and start and end, float32 [B]."""

    numbers: Ints
    counts: Ints
    starts: Seconds
    ends: Seconds

    @staticmethod
    def of(segments: Sequence[Segment], durations: Seconds) -> Segments:
        """As columns; what is all of its video ends with it."""
        numbers, counts, starts, ends = (
            np.array(column) for column in (zip(*segments, strict=True) if segments else ([], [], [], []))
        )
        whole = counts == 1
        return Segments(
            numbers.astype(np.int32),
            counts.astype(np.int32),
            np.where(whole, 0, starts).astype(np.float32),
            np.where(whole, durations, ends).astype(np.float32),
        )

    @staticmethod
    def whole(durations: Seconds) -> Segments:
        """Of videos that are not cut."""
        zeros = np.zeros(len(durations), np.int32)
        return Segments(zeros, zeros + 1, zeros.astype(np.float32), durations.astype(np.float32))

    def __getitem__(self, row: int) -> Segment:
        return Segment(int(self.numbers[row]), int(self.counts[row]), float(self.starts[row]), float(self.ends[row]))

    def take(self, places: npt.NDArray[np.intp]) -> Segments:
        """Of some of the rows, in that order."""
        return Segments(self.numbers[places], self.counts[places], self.starts[places], self.ends[places])

    @staticmethod
    def joined(parts: Sequence[Segments]) -> Segments:
        """Of all rows of several."""
        return Segments(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.counts for part in parts]),
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.ends for part in parts]),
        )


def check_segment(video: str, segment: Segment) -> None:
    """Refuse a segment that can't be.

    Raises:
        InvalidRequest: its number or count, or a time that is none.
    """
    number, count, start, end = segment
    if not 0 <= number < count <= MAX_SEGMENTS:
        raise InvalidRequest(f"{video!r} has a segment {number} of {count}: there are 1 to {MAX_SEGMENTS}, from 0")
    if count > 1 and not 0 <= start < end < np.inf:
        raise InvalidRequest(f"the segment {number} of {video!r} goes from {start:g} to {end:g} s")


def films(ids: Iterable[str], segments: Iterable[tuple[int, int]]) -> dict[str, list[int]]:
    """The places of the rows of every film, in the order of its segments, by id; of one that comes twice the last.

    Args:
        segments: number and count of every row.

    Raises:
        InvalidRequest: rows of a film that is not whole, or not in order.
    """
    found: dict[str, list[int]] = {}
    wanted: dict[str, int] = {}
    for place, (id_, (number, count)) in enumerate(zip(ids, segments, strict=True)):
        if number == 0:
            # The last one's place among the others, so that rows of one film lie together.
            found.pop(id_, None)
            found[id_], wanted[id_] = [], count
        if len(found.get(id_, ())) != number or wanted.get(id_) != count:
            raise InvalidRequest(f"{id_!a:.100} has a segment {number} of {count} out of its turn: bring films whole")
        found[id_].append(place)
    for id_, places in found.items():
        if len(places) != wanted[id_]:
            raise InvalidRequest(f"{id_!a:.100} has {len(places)} of its {wanted[id_]} segments: bring films whole")
    return found
