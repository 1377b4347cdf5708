"""Keeping the table's files few: many small commits leave many small files and old versions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

# Readers advance several times a second, so nobody still reads what is this old.
RETAIN = timedelta(minutes=10)

_COMMITS_PER_CHECK = 16
_log = logging.getLogger(__name__)


def too_many(fragments: int, rows: int) -> bool:
    """Whether the table's files should be merged.

    Merging rewrites the whole table, so the number allowed grows with it: a row is rewritten some 200 times
    its size at most, and a scan that opens every file stays a small part of the work of indexing.
    """
    return fragments > 64 + rows // 200


class Upkeep:
    """Merges the table's files and drops versions older than ``retain``, in a thread beside the writer.

    It takes no lock: Lance lets it commit beside additions, and makes it start over when a row was replaced
    or removed under it.
    """

    def __init__(self, open_table: Callable[[], Any], retain: timedelta = RETAIN) -> None:
        self._open_table = open_table
        self._retain = retain
        self._commits = 0
        self._thread: threading.Thread | None = None

    def committed(self, rows: int) -> None:
        """Note a commit after which the table has ``rows`` rows."""
        self._commits += 1
        running = self._thread is not None and self._thread.is_alive()
        if self._commits % _COMMITS_PER_CHECK == 0 and not running:
            self._thread = threading.Thread(target=self._tidy, args=(rows,), name="gallery-upkeep", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for the thread, if it runs."""
        if self._thread is not None:
            self._thread.join()

    def _tidy(self, rows: int) -> None:
        try:
            table = self._open_table()
            if too_many(table.stats()["fragment_stats"]["num_fragments"], rows):
                table.optimize(cleanup_older_than=self._retain)
        except Exception as error:
            # The table is as good as before; the next round tries again.
            _log.info("the gallery's files were not merged this time: %s", error)
