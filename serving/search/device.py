"""Ranking by text-conditioned attention over the top-K frames, on a device that torch knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE
from ...kernels.topk_attention.api import search
from ...kernels.topk_attention.layout import LANES, blocks
from .onnx_scorer import Tensors
from .ranking import Ranked
from .snapshot import View
from .topk_ranking import TopKRanker

_GROWTH = 1.5
# Entries that are sent at once.
_PIECE = 4096


class DeviceRanker(TopKRanker):
    """Ranks on ``device`` with a copy of the gallery there, to which only new rows are sent."""

    def __init__(self, manifest: Manifest, device: torch.device) -> None:
        super().__init__(manifest)
        self._device = device
        self._ids: Sequence[str] | None = None
        self._rows = 0
        self._frames, self._tables = torch.empty(0, device=device), torch.empty(0, device=device)

    def rank(self, view: View, text: Tensors, tops: Sequence[int]) -> list[Ranked]:
        """As ``ranking.Ranker.rank``; the attention on the few winners is computed on the CPU."""
        if not view.count:
            return super().rank(view, text, tops)
        self._follow(view)
        vectors, gallery = self.operands(view, text)
        live = None
        if len(view.dead):
            live = torch.ones(self._rows, dtype=torch.bool, device=self._device)
            live[torch.from_numpy(view.dead).to(self._device)] = False
        logit, readout, scalars = (
            torch.from_numpy(part).to(self._device) for part in (vectors.logit, vectors.readout, vectors.scalars)
        )
        found = search(
            logit,
            readout,
            scalars,
            self._frames[: self._rows],
            self._tables[: blocks(self._rows)],
            n=min(max(tops), view.count),
            top_k=self.shape.top_k,
            heads=self.shape.heads,
            live=live,
            # Checked when it was indexed.
            check_gallery=False,
        )
        best, rows = (part.cpu().numpy() for part in found)
        return self.ranked(vectors, gallery, best, rows, tops)

    def _follow(self, view: View) -> None:
        # Rows never change while the list of ids is the same one; a new list means that removed rows were swept out.
        if view.ids is not self._ids:
            self._ids, self._rows = view.ids, 0
        frames, tables = view.tensors[FRAME_VECTORS], view.tensors[GRAM_TABLE]
        if len(frames) == self._rows:
            return
        block = self._rows // LANES
        self._frames = self._grown(self._frames, frames, self._rows)
        self._tables = self._grown(self._tables, tables, block)
        self._rows = len(frames)

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


def on_gpu(manifest: Manifest, number: int) -> TopKRanker:
    """The ranker for the GPU ``number``; that of the CPU where this torch can't use a GPU."""
    return DeviceRanker(manifest, torch.device("cuda", number)) if torch.cuda.is_available() else TopKRanker(manifest)
