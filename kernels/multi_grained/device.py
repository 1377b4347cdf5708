"""X-CLIP's score on a device of torch's; ``reference`` is the definition and has the letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..device.pair_plan import padded
from ..device.pair_scan import DeviceScan
from ..device.text import of_sentences, of_words
from .cpu import SHARPNESS
from .kernel import fine_kernel, whole_kernel
from .reference import Matrices, TextRecord


class MultiGrainedScan(DeviceScan):
    """The scan of texts, float32, and of videos float16 [V, D] and their frames [V, F, D].

    Args:
        matrices: float32, on the videos' device.
        scale: exp(logit_scale).

    Raises:
        ValueError: as ``DeviceScan``, or other numbers of words or frames than the matrices are for.
    """

    def __init__(
        self, text: TextRecord, video_VD: Tensor, frames_VFD: Tensor, matrices: Matrices, scale: float
    ) -> None:
        texts = {
            "text": text.words_mixed,
            "words_whole": text.words,
            "sentence": text.sentence,
            "sentence_whole": text.sentence_mixed,
        }
        super().__init__(texts, {"frame_vectors": frames_VFD, "whole": video_VD})
        words, frames = self.sizes["W"], self.sizes["F"]
        if (words, frames) != (len(matrices.word_mat), len(matrices.frame_mat)):
            raise ValueError(
                f"the records hold {words} word positions and {frames} frames, the weights are for "
                f"{len(matrices.word_mat)} and {len(matrices.frame_mat)}: encode with exactly those"
            )
        rows = padded(words)
        self.how, self.how_whole = self.plan("multi_grained", frames, words), self.plan("whole_video", 1, words)
        beyond, mixed = rows - words, matrices.word_mat @ text.words_mixed
        self._fine = {
            "TEXT": torch.cat([of_words(each, rows, 1) for each in (text.words_mixed, mixed)], 1),
            "SENTENCE": of_sentences(text.sentence),
            "FRAME_LOGIT": matrices.frame_logit.contiguous(),
            "FRAME_MAT": matrices.frame_mat.contiguous(),
            "FRAME_MAT2": matrices.frame_mat2.contiguous(),
            "WORD_MAT2": torch.nn.functional.pad(matrices.word_mat2.T, (0, beyond, 0, beyond)).contiguous(),
            "SCALE": float(scale),
        }
        parts = self.how_whole.tile.parts
        self._whole = {
            "TEXT": of_words(text.words, rows, parts),
            "FOLDED": of_words(matrices.word_logit @ text.words, rows, parts),
            "SENTENCE": of_sentences(text.sentence_mixed),
        }

    def start(self, part: slice, kept: Mapping[str, Tensor | None]) -> Any:
        """As ``DeviceScan.start``; what the Triton compiler made of the second kernel."""
        whole = {**self._whole, "X": self.records["whole"][part], "SHARPNESS": SHARPNESS}
        self.launch(whole_kernel, self.how_whole, {"OUT": kept["OUT"]}, **whole)
        fine = {**self._fine, "X": self.records["frame_vectors"][part], "SHARPNESS": SHARPNESS}
        return self.launch(fine_kernel, self.how, kept, **fine)
