"""Films whose segments come one by one, until all are there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ...export.bundle.errors import InvalidRequest, ServerUnavailable
from .rows import Row

# What all that has not come to its end may fill, and how long a film waits for its next segment.
_MOST_BYTES, _PATIENCE_S = 512 << 20, 900.0

Pair = tuple[Row, Row | None]


@dataclass
class _Draft:
    word: str
    rows: dict[int, Pair] = field(default_factory=dict)
    bytes: int = 0
    touched: float = 0.0


class Drafts:
    """Rows by the ids of their films. Nothing of them is in the gallery; they end with the process.

    A film that is begun anew, by another word, takes the place of what was there.
    """

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._held: dict[str, _Draft] = {}

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
        now = time.monotonic()
        draft = self._held.get(entry.id)
        if draft is None or draft.word != word:
            draft = self._held[entry.id] = _Draft(word)
        for number, (other, _) in draft.rows.items():
            same = (other.entry.digest, other.entry.metadata, other.entry.source, other.entry.segment.total)
            if same != (entry.digest, entry.metadata, entry.source, entry.segment.total):
                del self._held[entry.id]
                raise InvalidRequest(f"segment {entry.segment.number} of {entry.id!r} is not of the film of {number}")
            break
        before = draft.rows.get(entry.segment.number)
        # One that is sent again, as after an answer that was lost, takes the place of the first.
        draft.bytes += _bytes(pair) - (0 if before is None else _bytes(before))
        draft.rows[entry.segment.number] = pair
        draft.touched = now
        if len(draft.rows) == entry.segment.total:
            del self._held[entry.id]
            return [draft.rows[number] for number in range(entry.segment.total)]
        self._tidy(now, entry.id)
        return len(draft.rows)

    def _tidy(self, now: float, id_: str) -> None:
        """Forget films that nobody goes on with, and refuse what there is no room for."""
        for other in [key for key, each in self._held.items() if now - each.touched > _PATIENCE_S]:
            del self._held[other]
        if sum(each.bytes for each in self._held.values()) > self._most:
            del self._held[id_]
            raise ServerUnavailable("the segments of other films fill what may wait for its end: try again later")


def _bytes(pair: Pair) -> int:
    return sum(tensor.nbytes for row in pair if row is not None for tensor in row.tensors.values())
