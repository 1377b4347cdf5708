"""TS2-Net's score on a device of torch's; ``reference`` is the definition and has the letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..device.pair_scan import DeviceScan
from ..device.text import halves, scaled
from .cpu import SHARPNESS
from .kernel import frame_softmax_kernel


class FrameSoftmaxScan(DeviceScan):
    """The scan of texts float32 [Q, D], frames float16 [V, F, D] and their mask float16 [V, F]."""

    def __init__(self, text_QD: Tensor, frames_VFD: Tensor, mask_VF: Tensor) -> None:
        super().__init__({"sentence": text_QD}, {"frame_vectors": frames_VFD, "mask": mask_VF})
        self.how = self.plan("frame_softmax", self.sizes["F"])
        # A score is as long as its text, whatever softmax makes of the frames.
        text, self._unit = scaled(text_QD)
        self._text = halves(text, self.how.tile.parts)

    def start(self, part: slice, kept: Mapping[str, Tensor | None]) -> Any:
        """As ``DeviceScan.start``."""
        records = {"X": self.records["frame_vectors"][part], "MASK": self.records["mask"][part]}
        given = {"TEXT": self._text, "UNIT": self._unit, "SHARPNESS": SHARPNESS, **records}
        return self.launch(frame_softmax_kernel, self.how, kept, **given)
