"""Arrays of a device that grow at the end, as those of a gallery do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..lanes import blocks
from .device import Array, Device


class Column:
    """An array of rows, each of ``shape``; with ``lanes`` the rows, vectors [n], of so many lie side by side."""

    def __init__(self, device: Device, shape: Sequence[int], dtype: npt.DTypeLike, lanes: int = 0) -> None:
        self._device, self._lanes = device, lanes
        self._unit = (*shape, lanes) if lanes else tuple(shape)
        self.array = device.empty((0, *self._unit), dtype)

    def units(self, rows: int) -> int:
        """Entries of the array's first axis that so many rows take."""
        return blocks(rows, self._lanes) if self._lanes else rows

    def bytes(self, rows: int) -> int:
        """That so many rows take."""
        return self.units(rows) * math.prod(self._unit) * self.array.dtype.itemsize

    def grow(self, rows: int, kept: int) -> None:
        """Make it as large as ``rows`` rows, of which the first ``kept`` stay.

        Raises:
            CudaError: there is no room.
        """
        larger = self._device.empty((self.units(rows), *self._unit), self.array.dtype)
        larger.copy(self.array, self.units(kept))
        self.array = larger

    def give_up(self) -> None:
        """Forget everything."""
        self.array = self._device.empty((0, *self._unit), self.array.dtype)

    def put(self, row: int, values: npt.NDArray[Any]) -> None:
        """Write values from ``row`` on, which begins a block; with lanes they are blocks [B, n, lanes]."""
        self.array.write(row // self._lanes if self._lanes else row, values)

    def at(self, row: int) -> int:
        """The address of a row that begins a block."""
        return self.array.at(row // self._lanes if self._lanes else row)


class Scratch:
    """Working memory of a device by name, kept for the next search."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, count: int, dtype: npt.DTypeLike) -> Array:
        """An array [count], or a longer one, whose values are anything."""
        found = self._arrays.get(name)
        if found is None or len(found) < count or found.dtype != np.dtype(dtype):
            self._arrays.pop(name, None)
            found = self._arrays[name] = self._device.empty((count,), dtype)
        return found

    def sent(self, name: str, values: npt.NDArray[Any]) -> Array:
        """A copy of an array's values, one after another."""
        made = self.array(name, values.size, values.dtype)
        made.write(0, values.reshape(-1))
        return made

    def clear(self) -> None:
        """Give all of it back."""
        self._arrays.clear()
