"""What a shard can promise of its gallery's versions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Keeps the promise that a shard's searches see everything up to a version, and that nothing comes before it later.

    A shard that nobody writes to would stay at its version for ever, and whoever waits for a video of another shard
    waits for all of them. So a shard takes part in what it hears of other shards' versions: what it writes from then on
    gets later ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard = self._written = self._seen = 0
        self._writing = 0

    def hear(self, version: int) -> None:
        """Take note of a version that some shard has."""
        with self._lock:
            self._heard = max(self._heard, version)

    @contextmanager
    def writing(self) -> Iterator[int]:
        """A write, which has to go beyond the version that is given."""
        with self._lock:
            self._writing += 1
            least = self._heard
        try:
            yield least
        finally:
            with self._lock:
                self._writing -= 1

    def wrote(self, version: int) -> None:
        """Take note of an own commit, within ``writing``."""
        with self._lock:
            self._written = max(self._written, version)

    def seen(self, view: int) -> int:
        """The version up to which a view of version ``view`` has everything."""
        with self._lock:
            self._seen = max(self._seen, view)
            if not self._writing and view >= self._written:
                self._seen = max(self._seen, self._heard)
            return self._seen

    def latest(self, view: int) -> int:
        """The newest version that is known of this shard."""
        with self._lock:
            return max(self._written, view)
