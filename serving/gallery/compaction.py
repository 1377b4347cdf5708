"""Keeping the table's files few: many small commits leave many small files and old versions."""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

# Readers advance several times a second, so nobody still reads what is this old.
RETAIN = timedelta(minutes=10)

_COMMITS_PER_CHECK = 16
# Tables of up to this many bytes are merged in a few seconds.
_BRIEF = 256 << 20
# From glibc's malloc.h: numbers of settings, and here their values in bytes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM, _LARGE = 128 << 10, 1 << 20
_log = logging.getLogger(__name__)


def too_many(files: int, rows: int) -> bool:
    """Whether the table's files should be merged, or so many commits' old files dropped.

    Merging rewrites the whole table, so the allowed number grows with it: a row is rewritten some 200 times its size at
    most, and a scan that opens every file stays a small part of the work of indexing.
    """
    return files > 64 + rows // 200


class Compaction:
    """Merges the table's files and drops versions older than ``retain``, in a thread beside the writer.

    A video that replaces another leaves no file more to read, but a version with its files. They too are dropped every
    ``retain``.

    Lance lets a merge commit beside additions. Where a row was replaced or removed meanwhile, all of its work is lost.
    So ``lock`` keeps writers out while a small table is merged, which takes a few seconds; what failed or killed merges
    and commits left is dropped then. A larger table is merged beside the writers; after a failure the next try waits
    until there is as much to do again. ``alone`` keeps other processes' merges out of both.
    """

    def __init__(
        self,
        open_table: Callable[[], Any],
        retain: timedelta = RETAIN,
        lock: Callable[[], AbstractContextManager[None]] = nullcontext,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._open_table = open_table
        self._retain = retain
        self._lock, self._alone = lock, alone
        self._commits = self._tried = 0
        # Versions that an earlier process left may be old already.
        self._tried_at = -math.inf
        self._thread: threading.Thread | None = None

    def committed(self, rows: int) -> None:
        """Note a commit after which the table has ``rows`` rows."""
        self._commits += 1
        running = self._thread is not None and self._thread.is_alive()
        if self._commits % _COMMITS_PER_CHECK == 0 and not running:
            self._thread = threading.Thread(target=self._tidy, args=(rows,), name="gallery-compaction", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for the thread, if it runs."""
        if self._thread is not None:
            self._thread.join()

    def _tidy(self, rows: int) -> None:
        try:
            many = too_many(self._commits - self._tried, rows)
            if self._tried and not many:
                return
            stats = self._open_table().stats()
            scattered = too_many(stats["fragment_stats"]["num_fragments"], rows)
            old = many and time.monotonic() - self._tried_at >= self._retain.total_seconds()
            if not (scattered or old):
                return
            self._tried, self._tried_at = self._commits, time.monotonic()
            return_large_blocks()
            brief = stats["total_bytes"] <= _BRIEF
            with self._alone(), self._lock() if brief else nullcontext():
                # Files of no version may be a writer's or another merge's, unless both are kept out.
                self._open_table().optimize(cleanup_older_than=self._retain, delete_unverified=brief)
            return_the_rest()
        except Exception as error:
            # The table is as good as before; a later round tries again.
            _log.info("the gallery's files were not merged this time: %s", error)


def return_large_blocks() -> None:
    """Make this process return blocks of a megabyte to the system as they are freed; where it runs on glibc.

    By itself glibc raises that size to the largest block freed so far, up to 32 MiB, and keeps smaller ones in the heap
    of whichever thread asked for them: merging a gallery of 47 MB left 150 MB behind after three times, and now 3.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE)
        set_option(_M_TRIM_THRESHOLD, _TRIM)


def return_the_rest() -> None:
    """Return free memory between blocks in use: a merge needs it again in minutes at the earliest."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
