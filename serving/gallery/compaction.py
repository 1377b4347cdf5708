"""Keeping a table's files few: many small commits leave many small files and old versions."""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from .merging import Lock, all_due, due, index_further, merge, sealed_rows, unindexed, written_again
from .table import drop_versions, parts

# Readers advance several times a second, and begin again where a version goes while they load it.
RETAIN = timedelta(minutes=3)
# So often in that time old versions are looked for: what is looked for once lies there for up to twice as long.
_LOOKS = 4

_COMMITS_PER_CHECK = 16
# Each of these costs a look-up a seventh of a millisecond, and so a replacement, which looks its ids up.
_UNINDEXED = 12
# From glibc's malloc.h: numbers of settings, and here their values in bytes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM, _LARGE = 128 << 10, 1 << 20
_log = logging.getLogger(__name__)


class Compaction:
    """Merges a table's fragments, extends its index and drops versions older than ``retain``, in a thread of its own.

    Args:
        row_bytes: of a row on disk, about.
        lock: keeps writers out, for the commit of a merge or while one is small.
        alone: keeps other processes' merges out.
    """

    def __init__(
        self,
        open_table: Callable[[], Any],
        row_bytes: int,
        retain: timedelta | None = None,
        lock: Lock = nullcontext,
        alone: Lock = nullcontext,
    ) -> None:
        self._open_table = open_table
        self._row_bytes, self._sealed = row_bytes, sealed_rows(row_bytes)
        self._retain = RETAIN if retain is None else retain
        self._lock, self._alone = lock, alone
        self._commits = 0
        # When how many rows of sealed fragments were written again.
        self._written: list[tuple[float, int]] = []
        # Versions and files that an earlier process left may be old already.
        self._dropped_at = -math.inf
        self._thread: threading.Thread | None = None

    def committed(self) -> None:
        """Note a commit."""
        self._commits += 1
        running = self._thread is not None and self._thread.is_alive()
        if self._commits % _COMMITS_PER_CHECK == 0 and not running:
            self._thread = threading.Thread(target=self._tidy, name="gallery-compaction", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for the thread, if it runs."""
        if self._thread is not None:
            self._thread.join()

    def run(self, *, all_files: bool = False, alone: Lock | None = None) -> None:
        """Do now what is due, or, with ``all_files``, merge all that can be merged, and drop old versions in any case.

        Args:
            alone: keeps other merges out in the place of the one that this object has.

        Raises:
            GalleryError: another process is at it.
            OSError: Lance's, of a merge or a removal of files.
        """
        table = self._open_table()
        found, now, retain = parts(table), time.monotonic(), self._retain.total_seconds()
        self._written = [(when, rows) for when, rows in self._written if now - when < retain]
        written = sum(rows for _, rows in self._written)
        wanted = all_due(found, self._sealed) if all_files else due(found, self._sealed, written)
        old = all_files or now - self._dropped_at >= retain / _LOOKS
        late = unindexed(table) > _UNINDEXED
        if wanted is None and not old and not late:
            return
        with (alone or self._alone)():
            if wanted is not None or late:
                # Fragments that the index covers are not merged with ones that it does not.
                index_further(table)
            if wanted is not None:
                return_large_blocks()
                merge(table, wanted, self._row_bytes, self._lock)
                self._written.append((time.monotonic(), written_again(found, wanted, self._sealed)))
            if old:
                self._drop(table)
        return_the_rest()

    def _drop(self, table: Any) -> None:
        """Drop old versions, the first time also files of no version: killed writers and merges left them."""
        first, self._dropped_at = self._dropped_at == -math.inf, time.monotonic()
        table.checkout_latest()
        # A file of no version may be a writer's, unless writers are kept out. Merges are.
        with self._lock() if first else nullcontext():
            drop_versions(table, self._retain, unknown=first)

    def _tidy(self) -> None:
        try:
            self.run()
        except Exception as error:
            # The table is as good as before; a later round tries again, and clears what this one left.
            self._dropped_at = -math.inf
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
