"""Arrays that grow at the end while readers hold views of what is before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_GROWTH = 1.5
_SMALLEST = 64


class Columns:
    """Named arrays [capacity, ...] of one length, filled from the front.

    Rows that have been written never change, so ``views`` taken before stay true while rows are added behind
    them.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, npt.DTypeLike], capacity: int = 0
    ) -> None:
        self.rows = 0
        self._arrays: dict[str, npt.NDArray[Any]] = {
            name: np.empty((capacity, *shape), dtypes[name]) for name, shape in shapes.items()
        }

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows in all; what has to move is moved once."""
        for name, array in self._arrays.items():
            if rows > len(array):
                capacity = max(rows, int(len(array) * _GROWTH), _SMALLEST)
                grown = np.empty((capacity, *array.shape[1:]), array.dtype)
                grown[: self.rows] = array[: self.rows]
                self._arrays[name] = grown

    def append(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add rows: one array [rows, ...] per name."""
        count = len(next(iter(values.values())))
        self.reserve(self.rows + count)
        for name, array in self._arrays.items():
            array[self.rows : self.rows + count] = values[name]
        self.rows += count

    def truncate(self, rows: int) -> None:
        """Forget the rows from ``rows`` on, which nobody may have a view of."""
        self.rows = rows

    def reorder(self, start: int, order: npt.NDArray[np.intp]) -> None:
        """Put the rows from ``start`` on, which nobody may have a view of, into another order."""
        for array in self._arrays.values():
            array[start : self.rows] = array[start : self.rows][order]

    def kept(self, live: npt.NDArray[np.bool_]) -> Columns:
        """New columns of the rows where ``live`` [rows] is true."""
        kept = Columns({}, {})
        kept.rows = int(live.sum())
        kept._arrays = {name: array[: self.rows][live] for name, array in self._arrays.items()}
        return kept

    def views(self) -> dict[str, npt.NDArray[Any]]:
        """The filled part of every array, not copied and not writable."""
        views = {name: array[: self.rows] for name, array in self._arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        return views
