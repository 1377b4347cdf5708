"""Arrays that grow at the end while readers hold views of what is before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kernels.topk_attention.layout import LANES, blocks, pack_tables, unpack_tables, write_tables

_GROWTH = 1.5
_SMALLEST = 64


class Columns:
    """Named arrays [capacity, ...] of one length, filled from the front.

    Those named in ``across`` hold vectors [n] and lie as the scorer reads its tables: 16 rows side by side, [blocks,
    n, 16].

    Rows that have been written never change, so ``views`` taken before stay true while rows are added behind
    them.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, npt.DTypeLike],
        across: Collection[str] = (),
    ) -> None:
        self.rows = 0
        self._across = frozenset(across)
        self._arrays: dict[str, npt.NDArray[Any]] = {
            name: np.empty((0, *shape, LANES) if name in self._across else (0, *shape), dtypes[name])
            for name, shape in shapes.items()
        }

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows in all; what has to move is moved once."""
        for name, array in self._arrays.items():
            units, used = (blocks(n) if name in self._across else n for n in (rows, self.rows))
            if units > len(array):
                capacity = max(units, int(len(array) * _GROWTH), _SMALLEST)
                grown = np.empty((capacity, *array.shape[1:]), array.dtype)
                grown[:used] = array[:used]
                self._arrays[name] = grown

    def append(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add rows: one array [rows, ...] per name."""
        count = len(next(iter(values.values())))
        self.reserve(self.rows + count)
        for name, array in self._arrays.items():
            if name in self._across:
                write_tables(array, self.rows, values[name])
            else:
                array[self.rows : self.rows + count] = values[name]
        self.rows += count

    def truncate(self, rows: int) -> None:
        """Forget the rows from ``rows`` on, which nobody may have a view of."""
        self.rows = rows

    def reorder(self, start: int, order: npt.NDArray[np.intp]) -> None:
        """Put the rows from ``start`` on, which nobody may have a view of, into another order."""
        for name, array in self._arrays.items():
            if name in self._across:
                write_tables(array, start, unpack_tables(array, start + order))
            else:
                array[start : self.rows] = array[start : self.rows][order]

    def kept(self, live: npt.NDArray[np.bool_]) -> Columns:
        """New columns of the rows where ``live`` [rows] is true."""
        kept = Columns({}, {}, self._across)
        kept.rows = int(live.sum())
        kept._arrays = {
            name: pack_tables(unpack_tables(array, np.flatnonzero(live)))
            if name in self._across
            else array[: self.rows][live]
            for name, array in self._arrays.items()
        }
        return kept

    def views(self) -> dict[str, npt.NDArray[Any]]:
        """The filled part of every array, not copied and not writable."""
        views = {
            name: array[: blocks(self.rows) if name in self._across else self.rows]
            for name, array in self._arrays.items()
        }
        for view in views.values():
            view.flags.writeable = False
        return views
