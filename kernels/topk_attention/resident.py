"""A gallery that stays on a device of torch's, to which only new rows are sent. Letters in shapes: ``layout``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..walk import Live, Rows
from .api import search
from .layout import LANES, HeadShape, blocks
from .operands import Floats, GalleryVectors, TextVectors

_GROWTH = 1.5
# Entries that are sent at once.
_PIECE = 4096


class ResidentGallery:
    """Frame vectors and Gram tables on ``device``, as they were when ``follow`` was last called."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rows = 0
        self._frames, self._tables = torch.empty(0, device=device), torch.empty(0, device=device)

    def follow(self, gallery: GalleryVectors, *, anew: bool) -> None:
        """Send the rows of ``gallery`` behind those that were sent; all of them if ``anew``."""
        if anew:
            self._rows = 0
        if len(gallery) == self._rows:
            return
        self._frames = self._grown(self._frames, gallery.frames, self._rows)
        self._tables = self._grown(self._tables, gallery.tables, self._rows // LANES)
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

    def _grown(self, kept: Tensor, source: npt.NDArray[Any], start: int) -> Tensor:
        """``kept`` with everything in ``source`` from ``start`` on behind its first ``start`` entries."""
        if len(source) > len(kept):
            size = (max(len(source), int(len(kept) * _GROWTH)), *source.shape[1:])
            room = torch.empty(size, dtype=torch.from_numpy(np.empty(0, source.dtype)).dtype, device=self._device)
            if start:
                room[:start] = kept[:start]
            kept = room
        for first in range(start, len(source), _PIECE):
            # A view of the gallery is not writable, which torch doesn't know; a piece is copied.
            piece = np.array(source[first : first + _PIECE])
            kept[first : first + len(piece)] = torch.from_numpy(piece).to(self._device)
        return kept


def gallery_on_gpu(number: int) -> ResidentGallery | None:
    """A gallery on the GPU ``number``; None where this torch can't use a GPU."""
    return ResidentGallery(torch.device("cuda", number)) if torch.cuda.is_available() else None
