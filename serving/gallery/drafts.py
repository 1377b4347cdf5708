"""Films whose segments come one by one, until all are there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ...export.bundle.errors import InvalidRequest, ServerUnavailable
from .rows import GalleryEntry, Row

# What all that has not come to its end may fill, and how long a film waits for its next segment.
_MOST_BYTES, _PATIENCE_S = 512 << 20, 900.0

Pair = tuple[Row, Row | None]


@dataclass
class _Draft:
    rows: dict[int, Pair] = field(default_factory=dict)
    bytes: int = 0
    touched: float = 0.0


class Drafts:
    """Rows by the ids of their films and a word. Nothing of them is in the gallery; they end with the process.

    Films of one id that come at once, by different words, don't touch each other, or none of them might ever be whole.
    """

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._held: dict[tuple[str, str], _Draft] = {}

    def add(self, word: str, pair: Pair) -> list[Pair] | int:
        """All rows of a film in their order, once they are there; before, how many are.

        Args:
            word: the same for all segments of the film.
            pair: a segment's row, and that of the gallery that chooses candidates, if there is one.

        Raises:
            InvalidRequest: a segment of another film than the others.
            ServerUnavailable: too much waits for its end.
        """
        entry = pair[0].entry
        now, key = time.monotonic(), (entry.id, word)
        draft = self._held.setdefault(key, _Draft())
        for number, (other, _) in draft.rows.items():
            if _shared(other.entry) != _shared(entry):
                del self._held[key]
                raise InvalidRequest(f"segment {entry.segment.number} of {entry.id!r} is not of the film of {number}")
            break
        before = draft.rows.get(entry.segment.number)
        # One that is sent again, as after an answer that was lost, takes the place of the first.
        draft.bytes += _bytes(pair) - (0 if before is None else _bytes(before))
        draft.rows[entry.segment.number] = pair
        draft.touched = now
        if len(draft.rows) == entry.segment.total:
            del self._held[key]
            return [draft.rows[number] for number in range(entry.segment.total)]
        self._tidy(now, key)
        return len(draft.rows)

    def _tidy(self, now: float, key: tuple[str, str]) -> None:
        """Forget films that nobody goes on with, and refuse what there is no room for."""
        for other in [other for other, each in self._held.items() if now - each.touched > _PATIENCE_S]:
            del self._held[other]
        left = sum(each.bytes for each in self._held.values()) - self._most
        # What a try of this film left that failed gives way first: each try has a word of its own.
        same = sorted(
            (each.touched, other) for other, each in self._held.items() if other[0] == key[0] and other != key
        )
        for _, other in same:
            if left > 0:
                left -= self._held.pop(other).bytes
        if left > 0:
            del self._held[key]
            raise ServerUnavailable("the segments of other films fill what may wait for its end: try again later")


def _shared(entry: GalleryEntry) -> tuple[object, ...]:
    """What all segments of a film have in common."""
    return entry.digest, entry.cutting, entry.metadata, entry.source, entry.segment.total


def _bytes(pair: Pair) -> int:
    return sum(tensor.nbytes for row in pair if row is not None for tensor in row.tensors.values())
