"""Arrays of a gallery that stay on a device of torch's, to which only new rows are sent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .memory import NoRoom, search_bytes

Array = npt.NDArray[Any]
Room = Callable[[], int]

_GROWTH = 1.5
# Rows that are sent at once.
_PIECE = 4096


def endless() -> int:
    """The room of a device that holds whatever comes."""
    return sys.maxsize


class ResidentRows:
    """Arrays on ``device`` as they were when ``follow`` was last called.

    Args:
        room: tells how many bytes of the device are free.
    """

    def __init__(self, device: torch.device, room: Room = endless) -> None:
        self.device, self._room = device, room
        self._rows = self._held = 0
        self._arrays: dict[str, Tensor] = {}

    def __len__(self) -> int:
        """Rows on the device."""
        return self._rows

    def tensors(self) -> dict[str, Tensor]:
        """The arrays on the device, by name, as far as they hold rows."""
        return {name: kept[: self._rows] for name, kept in self._arrays.items()}

    def follow(self, arrays: Mapping[str, Array], rows: int, *, anew: bool) -> None:
        """Send what is behind the rows that were sent; all of them if ``anew``.

        Args:
            arrays: those of ``rows`` rows, always of the same names, shapes of a row and dtypes.

        Raises:
            NoRoom: they don't fit on the device. What was there is given up.
        """
        if anew:
            self._rows = 0
        if rows == self._rows:
            return
        if rows > self._held:
            self._make_room(arrays, rows)
        for name, source in arrays.items():
            self._send(self._arrays[name], source[:rows], self._rows)
        self._rows = rows

    def _make_room(self, arrays: Mapping[str, Array], rows: int) -> None:
        """Arrays for the rows and half as many again, or for them alone, while those of before are copied."""
        wanted = int(self._held * _GROWTH)
        for count in (wanted, rows) if wanted > rows else (rows,):
            record = sum(prod(source.shape[1:]) * source.itemsize for source in arrays.values())
            needed = count * record + search_bytes(count)
            if needed <= self._room():
                for name, source in arrays.items():
                    self._arrays[name] = self._grown(name, source, count)
                self._held = count
                return
        self._rows = self._held = 0
        self._arrays = {}
        raise NoRoom(rows, needed, self._room())

    def _grown(self, name: str, like: Array, rows: int) -> Tensor:
        """Room for so many rows of an array, which begins with those that were sent."""
        dtype = torch.from_numpy(np.empty(0, like.dtype)).dtype
        grown = torch.empty((rows, *like.shape[1:]), dtype=dtype, device=self.device)
        if self._rows:
            grown[: self._rows] = self._arrays[name][: self._rows]
        return grown

    def _send(self, kept: Tensor, source: Array, start: int) -> None:
        for first in range(start, len(source), _PIECE):
            # A view of the gallery is not writable, which torch doesn't know; a piece is copied.
            piece = np.array(source[first : first + _PIECE])
            kept[first : first + len(piece)] = torch.from_numpy(piece).to(self.device)


def gpu(number: int) -> tuple[torch.device, Room] | None:
    """The GPU of that number and its free bytes; None where this torch can't use a GPU."""
    if not torch.cuda.is_available():
        return None
    return torch.device("cuda", number), lambda: torch.cuda.mem_get_info(number)[0]
