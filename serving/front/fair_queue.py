"""Searches that wait, by caller, and whose turn it is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .upstream import Output

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# The rows by which a caller's credit grows in each round.
_QUANTUM = 4


@dataclass(eq=False)
class Entry:
    """A search that was let in.

    Attributes:
        ids: token ids int64 [B, W].
        since: when it was let in, by the event loop's clock.
        answer: the outputs of its rows; whoever stops waiting cancels it.
        queued, sent, answered: when it was queued, last sent and answered, by ``time.monotonic``; 0 before.
        batch_rows: rows of the request with which it was last sent.
        alone: it goes with no others.
        candidates: ids of the videos that it is for; empty for all.
        span: of its request, while that is traced.
        shared: another request's trace has the span of the request with which it was last sent.
    """

    caller: str
    ids: npt.NDArray[np.int64]
    top: int
    since: float
    answer: asyncio.Future[list[Output]]
    queued: float = field(default_factory=time.monotonic)
    sent: float = 0.0
    answered: float = 0.0
    batch_rows: int = 0
    span: Span | None = None
    shared: bool = False
    alone: bool = False
    candidates: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Its texts."""
        return len(self.ids)

    @property
    def key(self) -> tuple[Any, ...]:
        """What the rows of one upstream request have in common."""
        key = (self.top, self.ids.shape[1], self.candidates)
        return (*key, id(self)) if self.alone else key


@dataclass
class _Line:
    """One caller's searches, and the rows that it may send in this round."""

    entries: deque[Entry] = field(default_factory=deque)
    credit: int = 0

    def first(self, key: tuple[Any, ...] | None) -> Entry | None:
        """The first of this key, or of any."""
        return next((entry for entry in self.entries if key in (None, entry.key)), None)


class FairQueue:
    """Deficit round robin over callers by rows (Shreedhar and Varghese, 1995).

    Who waits with one search beside somebody with hundreds is served in the next batch.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __iter__(self) -> Iterator[Entry]:
        return (entry for line in self._lines.values() for entry in line.entries)

    def put(self, entry: Entry) -> None:
        """Append to its caller's line."""
        self._lines.setdefault(entry.caller, _Line()).entries.append(entry)

    def put_back(self, entries: list[Entry]) -> None:
        """Put entries that were taken back to the front, in their order."""
        for entry in reversed(entries):
            self._lines.setdefault(entry.caller, _Line()).entries.appendleft(entry)

    def take(self, most: int) -> list[Entry]:
        """The entries that go next: of one key, at most ``most`` rows together, or one entry that alone has more.

        Those whose client has left are dropped.
        """
        self._drop_gone()
        taken: list[Entry] = []
        while self._lines:
            before = len(taken)
            for caller, line in list(self._lines.items()):
                line.credit += _QUANTUM
                if self._take_from(line, taken, most):
                    # Whose turn it was stands behind the others; whoever had nothing that fits stays in front.
                    del self._lines[caller]
                    if line.entries:
                        self._lines[caller] = line
            if taken and len(taken) == before:
                break
        return taken

    def _take_from(self, line: _Line, taken: list[Entry], most: int) -> bool:
        before, alone = len(taken), len(self._lines) == 1
        rows = sum(entry.rows for entry in taken)
        while (entry := line.first(taken[0].key if taken else None)) is not None:
            if (taken and rows + entry.rows > most) or (entry.rows > line.credit and not alone):
                break
            line.entries.remove(entry)
            line.credit -= entry.rows
            taken.append(entry)
            rows += entry.rows
        return len(taken) > before

    def _drop_gone(self) -> None:
        for caller, line in list(self._lines.items()):
            if any(entry.answer.done() for entry in line.entries):
                line.entries = deque(entry for entry in line.entries if not entry.answer.done())
            if not line.entries:
                del self._lines[caller]
