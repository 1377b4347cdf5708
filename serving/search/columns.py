"""Arrays that grow at the end while readers hold views of the rows before."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Mapping, Sequence
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
        arrays: where rows are put, of ``shapes`` for as many as there is room for; by default in this process' memory.
        write: puts rows [N, ...] of an array of those in their place from a number on, sooner than writing to it does.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        lanes: Mapping[str, int] | None = None,
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
        write: Callable[[str, int, npt.NDArray[Any]], None] | None = None,
    ) -> None:
        self.rows = 0
        self._write = write
        self.specs, self.lanes = specs, lanes or {}
        self._arrays = dict(
            arrays or {name: np.empty(shape, dtype) for name, shape, dtype in shapes(specs, self.lanes, 0)}
        )

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows in all; what has to move is moved once."""
        for name, array in self._arrays.items():
            units, used = self._units(name, rows), self._units(name, self.rows)
            if units > len(array):
                capacity = max(units, int(len(array) * _GROWTH), _SMALLEST)
                grown = _pages((capacity, *array.shape[1:]), array.dtype)
                grown[:used] = array[:used]
                self._arrays[name] = grown

    @property
    def room(self) -> int:
        """Rows that there is room for before everything moves."""
        return min(len(array) * self.lanes.get(name, 1) for name, array in self._arrays.items())

    def append(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add rows: one array [rows, ...] per name."""
        count = len(next(iter(values.values())))
        self.extend(count)
        self.put(np.arange(self.rows - count, self.rows), values)

    def extend(self, count: int) -> None:
        """Add so many rows, whose values are ``put`` before anybody sees them."""
        self.reserve(self.rows + count)
        self.rows += count

    def put(self, rows: npt.NDArray[np.intp], values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write values [N, ...] as the rows of those numbers [N], of which no view may exist."""
        if not len(rows):
            return
        start = int(rows[0])
        together = bool((rows == np.arange(start, start + len(rows))).all())
        for name, array in self._arrays.items():
            if name not in self.lanes and together and self._write is not None:
                self._write(name, start, values[name])
            elif name not in self.lanes:
                array[slice(start, start + len(rows)) if together else rows] = values[name]
            elif together:
                write_rows(array, start, values[name])
            else:
                block, lane = np.divmod(rows, self.lanes[name])
                array[block, :, lane] = values[name]

    def truncate(self, rows: int) -> None:
        """Forget the rows from ``rows`` on, of which no view may exist."""
        self.rows = rows

    def copy(self, rows: npt.NDArray[np.intp], into: Columns) -> None:
        """Add the rows of those numbers to other columns of the same specs, a piece at a time."""
        into.reserve(into.rows + len(rows))
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            into.append(
                {
                    name: read_rows(array, piece) if name in self.lanes else array[piece]
                    for name, array in self._arrays.items()
                }
            )

    def views(self) -> dict[str, npt.NDArray[Any]]:
        """The filled part of every array, not copied and not writable."""
        views = {name: array[: self._units(name, self.rows)] for name, array in self._arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def _units(self, name: str, rows: int) -> int:
        """How much of an array ``rows`` rows take, along its first axis."""
        return blocks(rows, self.lanes[name]) if name in self.lanes else rows


def shapes(
    specs: Sequence[TensorSpec], lanes: Mapping[str, int], rows: int
) -> list[tuple[str, tuple[int, ...], np.dtype[Any]]]:
    """Name, shape and dtype of each array that has room for so many rows."""
    found = []
    for spec in specs:
        beside = lanes.get(spec.name)
        shape = (rows, *spec.shape) if beside is None else (blocks(rows, beside), *spec.shape, beside)
        found.append((spec.name, shape, np.dtype(spec.dtype)))
    return found


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
