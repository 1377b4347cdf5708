"""Arrays that grow at the end while readers hold views of the rows before."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.spec import TensorSpec
from ...kernels.lanes import blocks, read_rows, write_rows

_GROWTH = 1.5
_SMALLEST = 64
# Rows that are copied at a time when some are left out, so that nothing of the arrays' size lies between old and new.
_PIECE = 256
# Arrays from this size on are kept in huge pages, as numpy's own are.
_LARGE = 4 << 20
_HUGE_PAGE = 2 << 20


class Columns:
    """Named arrays [capacity, ...] of one length, filled from the front.

    Rows never change once written, so earlier ``views`` stay valid while rows are added.

    Args:
        specs: of one row.
        lanes: of the arrays whose rows, vectors [n], lie side by side: how many do, see ``kernels/lanes.py``.
    """

    def __init__(self, specs: Sequence[TensorSpec], lanes: Mapping[str, int] | None = None) -> None:
        self.rows = 0
        self._specs, self._lanes = specs, lanes or {}
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        for spec in specs:
            beside = (self._lanes[spec.name],) if spec.name in self._lanes else ()
            self._arrays[spec.name] = np.empty((0, *spec.shape, *beside), spec.dtype)

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows in all; what has to move is moved once."""
        for name, array in self._arrays.items():
            units, used = self._units(name, rows), self._units(name, self.rows)
            if units > len(array):
                capacity = max(units, int(len(array) * _GROWTH), _SMALLEST)
                grown = _pages((capacity, *array.shape[1:]), array.dtype)
                grown[:used] = array[:used]
                self._arrays[name] = grown

    def append(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add rows: one array [rows, ...] per name."""
        count = len(next(iter(values.values())))
        self.reserve(self.rows + count)
        for name, array in self._arrays.items():
            if name in self._lanes:
                write_rows(array, self.rows, values[name])
            else:
                array[self.rows : self.rows + count] = values[name]
        self.rows += count

    def truncate(self, rows: int) -> None:
        """Forget the rows from ``rows`` on, of which no view may exist."""
        self.rows = rows

    def reorder(self, start: int, order: npt.NDArray[np.intp]) -> None:
        """Put the rows from ``start`` on, of which no view may exist, into another order."""
        for name, array in self._arrays.items():
            if name in self._lanes:
                write_rows(array, start, read_rows(array, start + order))
            else:
                array[start : self.rows] = array[start : self.rows][order]

    def kept(self, live: npt.NDArray[np.bool_], room: int) -> Columns:
        """New columns of the rows where ``live`` [rows] is true, with room for ``room`` rows in all."""
        rows = np.flatnonzero(live)
        kept = Columns(self._specs, self._lanes)
        kept.reserve(max(room, len(rows)))
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            for name, array in self._arrays.items():
                if name in self._lanes:
                    write_rows(kept._arrays[name], start, read_rows(array, piece))
                else:
                    kept._arrays[name][start : start + len(piece)] = array[piece]
        kept.rows = len(rows)
        return kept

    def views(self) -> dict[str, npt.NDArray[Any]]:
        """The filled part of every array, not copied and not writable."""
        views = {name: array[: self._units(name, self.rows)] for name, array in self._arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def _units(self, name: str, rows: int) -> int:
        """How much of an array ``rows`` rows take, along its first axis."""
        return blocks(rows, self._lanes[name]) if name in self._lanes else rows


def _pages(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros in pages of their own.

    The system hands them out as they are written to, and takes them back with the last view. The allocator would keep
    up to 32 MiB of each array.
    """
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    large = size >= _LARGE
    pages = mmap.mmap(-1, size + large * _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if large:
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    # From the beginning of a huge page on the same rows always take the same memory.
    begin = -np.frombuffer(pages, np.uint8).ctypes.data % _HUGE_PAGE if large else 0
    return np.ndarray(shape, dtype, pages, begin)
