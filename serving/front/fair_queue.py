"""Searches that wait, by caller, and whose turn it is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
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
# Whoever has so many rows, waiting or sent, has many. While there was somebody with few a moment ago, nobody's credit
# grows by more than this: what everybody waits for stays short.
_MANY = 8
_BESIDE_FEW = 2
_MOMENT_S = 0.5
_REMEMBERED = 256


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
        chooser_ids: token ids int64 [B, W] of the model that chooses candidates, if one does.
        options: what else it asks for, as JSON; empty for nothing.
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
    chooser_ids: npt.NDArray[np.int64] | None = None
    options: bytes = b""

    @property
    def rows(self) -> int:
        """Its texts."""
        return len(self.ids)

    @property
    def key(self) -> tuple[Any, ...]:
        """What the rows of one upstream request have in common."""
        widths = tuple(ids.shape[1] for ids in (self.ids, self.chooser_ids) if ids is not None)
        key = (self.top, widths, self.candidates, self.options)
        return (*key, id(self)) if self.alone else key


@dataclass
class _Line:
    """One caller's searches, and the rows that it may send in this round."""

    entries: deque[Entry] = field(default_factory=deque)
    rows: int = 0
    credit: int = 0

    def first(self, key: tuple[Any, ...] | None) -> Entry | None:
        """The first of this key, or of any."""
        return next((entry for entry in self.entries if key in (None, entry.key)), None)


class FairQueue:
    """Deficit round robin over callers by rows (Shreedhar and Varghese, 1995).

    Who waits with one search beside somebody with hundreds is served in the next batch.

    Attributes:
        rows: those that wait.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        # Those whose client has left are counted until they are dropped.
        self.rows = 0
        # By caller: rows that wait or were sent, and when those with few last came.
        self._inside: Counter[str] = Counter()
        self._few: dict[str, float] = {}

    def __iter__(self) -> Iterator[Entry]:
        return (entry for line in self._lines.values() for entry in line.entries)

    def put(self, entry: Entry) -> None:
        """Append to its caller's line."""
        line = self._line(entry.caller)
        line.entries.append(entry)
        self._count(line, entry.rows)
        self._inside[entry.caller] += entry.rows
        if self._inside[entry.caller] <= _QUANTUM:
            self._few[entry.caller] = time.monotonic()
            if len(self._few) > _REMEMBERED:
                self._few = {caller: seen for caller, seen in self._few.items() if _lately(seen)}

    def leave(self, entry: Entry) -> None:
        """An entry that was put has ended."""
        self._inside[entry.caller] -= entry.rows
        if not self._inside[entry.caller]:
            del self._inside[entry.caller]

    def put_back(self, entries: list[Entry]) -> None:
        """Put entries that were taken back to the front, in their order."""
        for entry in reversed(entries):
            line = self._line(entry.caller)
            line.entries.appendleft(entry)
            self._count(line, entry.rows)

    @property
    def mixed(self) -> bool:
        """Whether somebody has many rows beside somebody with few, who came a moment ago."""
        many = {caller for caller, rows in self._inside.items() if rows >= _MANY}
        return bool(many) and any(caller not in many and _lately(seen) for caller, seen in self._few.items())

    @property
    def few_wait(self) -> bool:
        """Whether somebody with few rows waits."""
        return any(self._inside[caller] < _MANY for caller in self._lines)

    def take(self, most: int, *, mixed: bool = False, few: bool = False) -> list[Entry]:
        """The entries that go next: of one key, at most ``most`` rows together, or one entry that alone has more.

        Those whose client has left are dropped.

        Args:
            mixed: one round, of little credit for every caller.
            few: nothing of those that have many.
        """
        self._drop_gone()
        taken: list[Entry] = []
        while lines := [pair for pair in self._lines.items() if not (few and self._inside[pair[0]] >= _MANY)]:
            before = len(taken)
            for caller, line in lines:
                line.credit += _BESIDE_FEW if mixed else _QUANTUM
                if self._take_from(line, taken, most, patient=mixed):
                    # Whose turn it was stands behind the others; whoever had nothing that fits stays in front.
                    del self._lines[caller]
                    if line.entries:
                        self._lines[caller] = line
            if taken and (mixed or len(taken) == before):
                break
        return taken

    def _take_from(self, line: _Line, taken: list[Entry], most: int, *, patient: bool) -> bool:
        before, alone = len(taken), len(self._lines) == 1 and not patient
        rows = sum(entry.rows for entry in taken)
        while (entry := line.first(taken[0].key if taken else None)) is not None:
            if (taken and rows + entry.rows > most) or (entry.rows > line.credit and not alone):
                break
            line.entries.remove(entry)
            line.credit -= entry.rows
            self._count(line, -entry.rows)
            taken.append(entry)
            rows += entry.rows
        return len(taken) > before

    def _drop_gone(self) -> None:
        for caller, line in list(self._lines.items()):
            if any(entry.answer.done() for entry in line.entries):
                self._count(line, -sum(entry.rows for entry in line.entries if entry.answer.done()))
                line.entries = deque(entry for entry in line.entries if not entry.answer.done())
            if not line.entries:
                del self._lines[caller]

    def _line(self, caller: str) -> _Line:
        line = self._lines.get(caller)
        if line is None:
            line = self._lines[caller] = _Line()
        return line

    def _count(self, line: _Line, rows: int) -> None:
        line.rows += rows
        self.rows += rows


def _lately(seen: float) -> bool:
    return time.monotonic() - seen < _MOMENT_S
