"""Mug-STAN's score on a device of torch's; ``reference`` is the definition and has the letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..device.boxes import in_boxes
from ..device.pair_plan import padded
from ..device.pair_scan import DeviceScan
from ..device.text import of_words
from .kernel import token_frame_kernel
from .reference import TAU


class TokenFrameScan(DeviceScan):
    """The scan of texts float32 [Q, W, D] and frames float16 [V, F, D], both of unit vectors.

    Args:
        tau: sharpness of all softmaxes, above zero.
    """

    def __init__(self, words_QWD: Tensor, frames_VFD: Tensor, tau: float = TAU) -> None:
        super().__init__({"text": words_QWD}, {"frame_vectors": frames_VFD})
        self.how, self._tau = self.plan("token_frame", self.sizes["F"], self.sizes["W"]), tau
        self._text = of_words(words_QWD, padded(self.sizes["W"]), self.how.tile.parts)

    def start(self, part: slice, kept: Mapping[str, Tensor | None]) -> Any:
        """As ``DeviceScan.start``."""
        if self.how.tile.ring:
            return self._start_ring(part, kept)
        given = {"TEXT": self._text, "X": self.records["frame_vectors"][part], "SHARPNESS": float(self._tau)}
        return self.launch(token_frame_kernel, self.how, kept, **given)

    def _start_ring(self, part: slice, kept: Mapping[str, Tensor | None]) -> Any:
        from .pingpong import token_frame_pingpong_kernel

        frames = self.records["frame_vectors"][part]
        videos, count, width = frames.shape
        halves = [half.reshape(-1, width).contiguous() for half in self._text[:, 0].chunk(2, 1)]
        boxes, strides = self.how.boxes, (width, count * width, 1)
        given = {
            name: in_boxes("fp16", half, half.shape, (width, 1), boxes[name])
            for name, half in zip("UW", halves, strict=True)
        }
        given |= {name: in_boxes("fp16", frames, (count, videos, width), strides, boxes[name]) for name in "XY"}
        tiles = -(-videos // self.how.tile.videos)
        return self.launch(
            token_frame_pingpong_kernel, self.how, kept, **given, TILES=tiles, SHARPNESS=float(self._tau)
        )
