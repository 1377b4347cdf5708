"""Dot products on a device of torch's; ``reference`` is the definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..device.pair_scan import DeviceScan
from ..device.text import halves, scaled
from .kernel import dot_kernel


class DotScan(DeviceScan):
    """The scan of texts float32 [Q, D] and videos float16 [V, D]."""

    def __init__(self, text_QD: Tensor, video_VD: Tensor) -> None:
        super().__init__({"sentence": text_QD}, {"whole": video_VD})
        self.how = self.plan("dot")
        text, self._unit = scaled(text_QD)
        self._text = halves(text, self.how.tile.parts)

    def start(self, part: slice, kept: Mapping[str, Tensor | None]) -> Any:
        """As ``DeviceScan.start``."""
        given = {"TEXT": self._text, "UNIT": self._unit, "X": self.records["whole"][part]}
        return self.launch(dot_kernel, self.how, kept, **given)
