"""How many searches are under way at once: the tokenizer lets them in, and the search of the gallery out.

Only the first step may refuse: what a later one refuses has cost the earlier ones their work, and under overload that
leaves little time for anything else. And the refusal has to be the step's own: with a queue that the server bounds, by
length or by time, it fetches the next batch only once the last is done, and then often half a second late.

A search carries a ticket through the steps, the time at which it was let in. The last step writes the latest ticket
that came out into a small memory-mapped file; whoever was let in before it is out too, or has failed on the way. So
nothing is counted down, and neither a failure nor the restart of a process leaves anything behind.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .heartbeat import VARIABLE

# Parameter of the tokenizer's configuration: how many texts of searches may be under way before others are refused.
UNDER_WAY = "framesift.under_way"

_SIZE = 16
# Searches with many texts find room for so many of their size.
_OF_ONE_SIZE = 4
# A ticket that has not come out for so many times the time of the last one is lost: its search failed, and none came
# after it. Until one has come out nobody knows how long a search takes.
_PATIENCE = 3
_SHORTEST_NS = 1_000_000_000
_LONGEST_NS = 30_000_000_000
_FIRST_NS = 10_000_000_000


class Out:
    """The latest ticket that came out, and its time on the way: two int64 in nanoseconds that two processes share."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; what it says stays, so a process that is started again goes on with it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._shared = memoryview(mmap.mmap(descriptor, _SIZE)).cast("q")
        finally:
            os.close(descriptor)

    @staticmethod
    def of_this_server() -> Out:
        """The one that the models of one server share."""
        folder = os.environ.get(VARIABLE) or tempfile.gettempdir()
        # Every model's process is a child of its server's.
        return Out(Path(folder, f"framesift-{os.getppid()}-out"))

    @property
    def ticket(self) -> int:
        """The latest ticket, 0 before the first."""
        return self._shared[0]

    @property
    def took_ns(self) -> int:
        """How long it was on the way, 0 before the first."""
        return self._shared[1]

    def tell(self, ticket: int) -> None:
        """A search with this ticket has been answered, whatever the answer is."""
        # One from the future was made up by somebody who calls the last step alone, and would let everybody in.
        took = time.monotonic_ns() - ticket
        if ticket > self._shared[0] and took > 0:
            self._shared[1] = took
            self._shared[0] = ticket


class Turnstile:
    """Lets searches in while fewer than ``limit`` of their texts are under way.

    Args:
        out: what the last step tells.
        limit: who is let in last may exceed it, and searches with many texts have a larger one.
        clock_ns: the machine's monotonic time.
    """

    def __init__(self, out: Out, limit: int, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.limit = limit
        self._out, self._clock_ns = out, clock_ns
        self._let_in: deque[tuple[int, int]] = deque()
        self._texts = 0
        self._last = 0

    @property
    def under_way(self) -> int:
        """Texts that were let in and are not known to be out."""
        self._forget()
        return self._texts

    def next_ticket(self) -> int:
        """A ticket for all who enter from now on."""
        self._forget()
        self._last = max(self._last + 1, self._clock_ns())
        self._let_in.append((self._last, 0))
        return self._last

    def enter(self, texts: int) -> bool:
        """Let a search with so many texts in with the present ticket, or refuse it."""
        if self.under_way >= max(self.limit, _OF_ONE_SIZE * texts):
            return False
        self._count(texts)
        return True

    def leave(self, texts: int) -> None:
        """A search that entered with the present ticket has failed before it went any further."""
        self._count(-texts)

    def _forget(self) -> None:
        gone = max(self._out.ticket, self._clock_ns() - _patience(self._out.took_ns))
        while self._let_in and self._let_in[0][0] <= gone:
            self._texts -= self._let_in.popleft()[1]

    def _count(self, texts: int) -> None:
        if self._let_in:
            ticket, before = self._let_in[-1]
            self._let_in[-1] = ticket, before + texts
            self._texts += texts


def _patience(took_ns: int) -> int:
    return min(max(_SHORTEST_NS, _PATIENCE * took_ns), _LONGEST_NS) if took_ns else _FIRST_NS
