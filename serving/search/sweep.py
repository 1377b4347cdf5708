"""Leaving removed rows out: a copy of the others, made beside the searches that read them."""

from __future__ import annotations

import logging
import threading

import numpy as np
import numpy.typing as npt

from .columns import Columns
from .loading import Kind, Rows, settled
from .mapped import Building

# Rows that are copied between two looks at whether to go on.
_PIECE = 8192
_log = logging.getLogger(__name__)

Places = npt.NDArray[np.intp]


class Sweep:
    """Copies the rows that are not dead into new columns, in a thread where ``aside``.

    Rows never change once they are there, so meanwhile others may be added to the old columns and removed from them;
    ``swept`` brings the copy up to date. The copy lies in a new file of the cache, if there is one, which holds the
    version that the rows had at the start.
    """

    def __init__(self, rows: Rows, dead: Places, kind: Kind, *, aside: bool) -> None:
        self._kind, self._columns = kind, rows.columns
        self._end = rows.columns.rows
        self._kept = np.delete(np.arange(self._end), dead)
        self._ids = [rows.ids[row] for row in self._kept.tolist()]
        self._version, self._held = rows.version, dict(rows.held)
        self._left = threading.Event()
        self._copied: Columns | None = None
        self._building: Building | None = None
        self._thread = threading.Thread(target=self._copy, name="gallery-sweep", daemon=True)
        self._thread.start()
        if not aside:
            self._thread.join()

    @property
    def done(self) -> bool:
        """Whether the copy is made, or given up."""
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Give up what is under way."""
        self._left.set()
        self._thread.join()
        if self._building is not None:
            self._building.close()

    def swept(self, rows: Rows, dead: Places) -> tuple[Rows, Places, npt.NDArray[np.bool_]]:
        """The rows without those that were dead at the start, which are dead now, and which of ``dead`` these are."""
        if self._copied is None:
            return rows, dead, np.ones(len(dead), np.bool_)
        fresh = Rows(self._version, self._copied, self._ids, self._held)
        if self._building is not None:
            fresh = settled(fresh, self._building, self._kind)
        later = np.arange(self._end, rows.columns.rows)
        rows.columns.copy(later, fresh.columns)
        fresh.ids.extend(rows.ids[self._end : rows.columns.rows])
        left = ~np.isin(dead, self._gone(), assume_unique=True)
        now = np.searchsorted(np.concatenate([self._kept, later]), dead[left])
        return Rows(rows.version, fresh.columns, fresh.ids, rows.held), now.astype(np.intp), left

    def _gone(self) -> Places:
        return np.setdiff1d(np.arange(self._end), self._kept, assume_unique=True)

    def _copy(self) -> None:
        try:
            copied, self._building = self._kind.columns(len(self._kept))
            for start in range(0, len(self._kept), _PIECE):
                if self._left.is_set():
                    return
                self._columns.copy(self._kept[start : start + _PIECE], copied)
            self._copied = copied
        except Exception:
            _log.exception("removed rows stay in memory for now")
            if self._building is not None:
                self._building.close()
                self._building = None
