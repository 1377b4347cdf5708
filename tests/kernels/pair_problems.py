"""Random records of the scorers of plain vectors, and what they score in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from framesift.kernels.dot import cpu as dot_cpu
from framesift.kernels.dot.reference import dot
from framesift.kernels.frame_softmax import cpu as frame_softmax_cpu
from framesift.kernels.frame_softmax.reference import frame_softmax
from framesift.kernels.multi_grained import cpu as multi_grained_cpu
from framesift.kernels.multi_grained.reference import Matrices, TextRecord, VideoRecord, multi_grained
from framesift.kernels.pairs import PairsScan
from framesift.kernels.token_frame import cpu as token_frame_cpu
from framesift.kernels.token_frame.reference import token_frame
from framesift.kernels.weighed_experts import cpu as weighed_experts_cpu
from framesift.kernels.weighed_experts.reference import weighed_experts

Floats = npt.NDArray[Any]


class Problem:
    """Records that resemble one another, as those of real videos do, and a scorer's scan and reference."""

    def __init__(
        self, queries: int, videos: int, words: int, frames: int, width: int, dtype: Any, seed: int = 0
    ) -> None:
        rng = np.random.default_rng([seed, queries, videos, words, frames, width])

        def unit(*shape: int) -> Floats:
            x = rng.standard_normal((*shape, width)) + 2 * rng.standard_normal(width)
            return x / np.linalg.norm(x, axis=-1, keepdims=True)

        self.words = unit(queries, words).astype(np.float32)
        self.sentence = unit(queries).astype(np.float32)
        self.frames, self.video = unit(videos, frames).astype(dtype), unit(videos).astype(dtype)
        self.mask = (rng.random((videos, frames)) < 0.7).astype(dtype)
        self.mask[np.arange(videos), rng.integers(frames, size=videos)] = 1
        # Some texts end early, some are empty.
        self.short = self.words * (np.arange(words) < rng.integers(0, words + 1, (queries, 1)))[..., None]
        # Experts that a video lacks have no vector.
        self.experts = 16 if width == 16 else 4
        self.logits = 2 * rng.standard_normal((queries, self.experts)).astype(np.float32)
        self.present = (rng.random((videos, self.experts)) < 0.6).astype(dtype)
        self.present[np.arange(videos), rng.integers(self.experts, size=videos)] = 1
        self.mix = (np.eye(width) + 0.1 * rng.standard_normal((width, width)) / width**0.5).astype(np.float32)
        sizes = (words, frames, words, frames, frames, words)
        self.matrices = [(np.eye(n) + 0.2 * rng.standard_normal((n, n)) / n).astype(np.float32) for n in sizes]

    def scan(self, name: str) -> PairsScan:
        if name == "dot":
            return dot_cpu.scan(self.sentence, self.video)
        if name == "weighed_experts":
            return weighed_experts_cpu.scan(self.sentence, self.logits, self.video, self.present)
        if name == "frame_softmax":
            return frame_softmax_cpu.scan(100 * self.sentence, self.frames, self.mask)
        if name == "token_frame":
            return token_frame_cpu.scan(self.short, self.frames, 100.0)
        texts = multi_grained_cpu.Texts(self.sentence, self.sentence @ self.mix, self.words, self.words @ self.mix)
        weights = multi_grained_cpu.Weights(*self.matrices, scale=20.0)
        return multi_grained_cpu.scan(texts, self.video, self.frames, weights)

    def reference(self, name: str) -> Floats:
        def wide(x: Floats) -> torch.Tensor:
            return torch.from_numpy(np.asarray(x, np.float64))

        if name == "dot":
            return dot(wide(self.sentence), wide(self.video)).numpy()
        if name == "weighed_experts":
            return weighed_experts(*map(wide, (self.sentence, self.logits, self.video, self.present))).numpy()
        if name == "frame_softmax":
            return frame_softmax(wide(100 * self.sentence), wide(self.frames), wide(self.mask)).numpy()
        if name == "token_frame":
            return token_frame(wide(self.short), wide(self.frames)).numpy()
        text = TextRecord(*map(wide, (self.sentence, self.sentence @ self.mix, self.words, self.words @ self.mix)))
        video = VideoRecord(wide(self.video), wide(self.frames))
        return multi_grained(text, video, Matrices(*map(wide, self.matrices)), torch.tensor(20.0)).numpy()
