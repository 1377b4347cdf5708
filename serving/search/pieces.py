"""Checksums of a file's pieces, because no file system notices flipped bits of its own."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence

_PIECE = 4 << 20
# Searches go first.
_NICE = 10


def sums_of(handle: int, spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """The CRC-32 of every piece of a file's spans, each an offset and a number of bytes, read one by one."""
    for start, size in spans:
        for place in range(start, start + size, _PIECE):
            yield zlib.crc32(os.pread(handle, min(_PIECE, start + size - place), place))


def aside(work: Callable[[], object], name: str) -> threading.Thread:
    """Do something that takes long in a thread of little priority."""

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        work()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


class Check:
    """Compares a file's pieces with what they were when it was written, in a thread.

    Args:
        handle: of the file, which is closed in the end.
    """

    def __init__(self, handle: int, spans: Sequence[tuple[int, int]], sums: Sequence[int]) -> None:
        self._handle, self._spans, self._sums = handle, spans, sums
        self._left = threading.Event()
        self.failed = False
        self._thread = aside(self._compare, "gallery-cache-check")

    def abandon(self) -> None:
        """Stop comparing."""
        self._left.set()
        self._thread.join()

    def _compare(self) -> None:
        try:
            found = 0
            for have in sums_of(self._handle, self._spans):
                if self._left.is_set():
                    return
                if found >= len(self._sums) or have != self._sums[found]:
                    self.failed = True
                    return
                found += 1
            self.failed = found != len(self._sums)
        except OSError:
            self.failed = True
        finally:
            os.close(self._handle)
