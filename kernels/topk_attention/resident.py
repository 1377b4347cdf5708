"""A gallery that stays on a device of torch's, to which only new rows are sent. Letters in shapes: ``layout``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..walk import Live, Rows
from .api import search
from .device_memory import NoRoom, gallery_bytes, search_bytes
from .layout import LANES, HeadShape, blocks
from .operands import Floats, GalleryVectors, TextVectors

_GROWTH = 1.5
# Entries that are sent at once.
_PIECE = 4096


class ResidentGallery:
    """Frame vectors and Gram tables on ``device``, as they were when ``follow`` was last called."""

    def __init__(self, device: torch.device, room: Callable[[], int] = lambda: sys.maxsize) -> None:
        """``room`` tells how many bytes of the device are free."""
        self._device, self._room = device, room
        self._rows = 0
        self._frames, self._tables = torch.empty(0, device=device), torch.empty(0, device=device)

    def __len__(self) -> int:
        """Rows on the device."""
        return self._rows

    def follow(self, gallery: GalleryVectors, *, anew: bool) -> None:
        """Send the rows of ``gallery`` behind those that were sent; all of them if ``anew``.

        Raises:
            NoRoom: they don't fit on the device. What was there is given up.
        """
        if anew:
            self._rows = 0
        if len(gallery) == self._rows:
            return
        if len(gallery) > len(self._frames):
            self._make_room(gallery)
        self._send(self._frames, gallery.frames, self._rows)
        self._send(self._tables, gallery.tables[: blocks(len(gallery))], self._rows // LANES)
        self._rows = len(gallery)

    def search(self, text: TextVectors, shape: HeadShape, n: int, live: Live | None) -> tuple[Floats, Rows]:
        """Scores float32 and rows int64, [Q, n], of the best videos, all or the ``live`` ones; see ``api.search``."""
        logit, readout, scalars = (
            torch.from_numpy(part).to(self._device) for part in (text.logit, text.readout, text.scalars)
        )
        found = search(
            logit,
            readout,
            scalars,
            self._frames[: self._rows],
            self._tables[: blocks(self._rows)],
            n=n,
            top_k=shape.top_k,
            heads=shape.heads,
            live=None if live is None else torch.from_numpy(live).to(self._device),
            # Checked when it was indexed.
            check_gallery=False,
        )
        scores, rows = (part.cpu().numpy() for part in found)
        return scores, rows

    def _make_room(self, gallery: GalleryVectors) -> None:
        """Arrays for the gallery and half as many rows again, or for it alone, while those of before are copied."""
        shape, component = gallery.frames.shape[1:], gallery.frames.itemsize
        rows = gallery.tables.shape[1]
        wanted = [int(len(self._frames) * _GROWTH), len(gallery)]
        for count in wanted if wanted[0] > len(gallery) else wanted[1:]:
            needed = gallery_bytes(count, shape, rows, component) + search_bytes(count)
            if needed <= self._room():
                self._frames = self._grown(self._frames, gallery.frames, (count, *shape), self._rows)
                tables = (blocks(count), *gallery.tables.shape[1:])
                self._tables = self._grown(self._tables, gallery.tables, tables, blocks(self._rows))
                return
        self._rows, self._frames, self._tables = 0, *(torch.empty(0, device=self._device) for _ in range(2))
        raise NoRoom(len(gallery), needed, self._room())

    def _grown(self, kept: Tensor, like: npt.NDArray[Any], size: tuple[int, ...], filled: int) -> Tensor:
        """An array of ``size`` that begins with the first ``filled`` entries of ``kept``."""
        dtype = torch.from_numpy(np.empty(0, like.dtype)).dtype
        room = torch.empty(size, dtype=dtype, device=self._device)
        if filled:
            room[:filled] = kept[:filled]
        return room

    def _send(self, kept: Tensor, source: npt.NDArray[Any], start: int) -> None:
        for first in range(start, len(source), _PIECE):
            # A view of the gallery is not writable, which torch doesn't know; a piece is copied.
            piece = np.array(source[first : first + _PIECE])
            kept[first : first + len(piece)] = torch.from_numpy(piece).to(self._device)


def gallery_on_gpu(number: int) -> ResidentGallery | None:
    """A gallery on the GPU ``number``; None where this torch can't use a GPU."""
    if not torch.cuda.is_available():
        return None
    return ResidentGallery(torch.device("cuda", number), lambda: torch.cuda.mem_get_info(number)[0])
