"""How many searches are in flight at once: the tokenizer admits them, and the search of the gallery completes them.

Only the first step may refuse: what a later one refuses has cost the earlier ones their work, and under overload that
leaves little time for anything else. And the refusal has to be the step's own: with a queue that the server bounds, by
length or by time, it fetches the next batch only once the last is done, and then often half a second late.

A search carries an admission stamp through the steps, the time at which it was admitted. The last step writes the
latest stamp that it completed into a small memory-mapped file; whatever was admitted before is done too, or has failed
on the way. So nothing is counted down, and neither a failure nor the restart of a process leaves anything behind.
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

_SIZE = 16
# A search with many texts is admitted beside fewer than this many of its size.
_OF_ONE_SIZE = 4
# A stamp that has not come out for so many times the time of the last one is lost: its search failed, and none came
# after it. Until one has come out nobody knows how long a search takes.
_PATIENCE = 3
_SHORTEST_NS = 1_000_000_000
_LONGEST_NS = 30_000_000_000
_FIRST_NS = 10_000_000_000


class Completed:
    """The latest stamp that was completed, and its time on the way: two int64 in nanoseconds, shared by processes."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; what it says stays, so a process that is started again goes on with it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._shared = memoryview(mmap.mmap(descriptor, _SIZE)).cast("q")
        finally:
            os.close(descriptor)

    @staticmethod
    def of_this_server() -> Completed:
        """The one that the models of one server share."""
        folder = os.environ.get(VARIABLE) or tempfile.gettempdir()
        # Every model's process is a child of its server's.
        return Completed(Path(folder, f"framesift-{os.getppid()}-completed"))

    @property
    def stamp(self) -> int:
        """The latest stamp, 0 before the first."""
        return self._shared[0]

    @property
    def took_ns(self) -> int:
        """How long it was on the way, 0 before the first."""
        return self._shared[1]

    def complete(self, stamp: int) -> None:
        """A search with this stamp has been answered, whatever the answer is."""
        # A stamp from the future was made up by a caller of the last step alone, and would admit everything.
        took = time.monotonic_ns() - stamp
        if stamp > self._shared[0] and took > 0:
            self._shared[1] = took
            self._shared[0] = stamp


class AdmissionControl:
    """Admits searches while fewer than ``limit`` of their texts are in flight.

    Args:
        completed: what the last step writes.
        limit: the last search admitted may exceed it; searches with many texts have a larger one.
        clock_ns: the machine's monotonic time.
    """

    def __init__(self, completed: Completed, limit: int, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.limit = limit
        self._completed, self._clock_ns = completed, clock_ns
        self._admitted: deque[tuple[int, int]] = deque()
        self._texts = 0
        self._last = 0

    @property
    def in_flight(self) -> int:
        """Texts that were admitted and are not known to be completed."""
        self._forget()
        return self._texts

    def next_stamp(self) -> int:
        """A stamp for all that are admitted from now on."""
        self._forget()
        self._last = max(self._last + 1, self._clock_ns())
        self._admitted.append((self._last, 0))
        return self._last

    def admit(self, texts: int) -> bool:
        """Admit a search with so many texts under the present stamp, or refuse it."""
        if self.in_flight >= max(self.limit, _OF_ONE_SIZE * texts):
            return False
        self._count(texts)
        return True

    def release(self, texts: int) -> None:
        """A search that was admitted under the present stamp has failed before it went any further."""
        self._count(-texts)

    def _forget(self) -> None:
        gone = max(self._completed.stamp, self._clock_ns() - _patience(self._completed.took_ns))
        while self._admitted and self._admitted[0][0] <= gone:
            self._texts -= self._admitted.popleft()[1]

    def _count(self, texts: int) -> None:
        if self._admitted:
            stamp, before = self._admitted[-1]
            self._admitted[-1] = stamp, before + texts
            self._texts += texts


def _patience(took_ns: int) -> int:
    return min(max(_SHORTEST_NS, _PATIENCE * took_ns), _LONGEST_NS) if took_ns else _FIRST_NS
