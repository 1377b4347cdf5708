"""Random records of the scorers of plain vectors on a device, and what their scores must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.device.pair_scan import DeviceScan
from ...kernels.dot.device import DotScan
from ...kernels.dot.reference import dot
from ...kernels.frame_softmax.device import FrameSoftmaxScan
from ...kernels.frame_softmax.reference import frame_softmax
from ...kernels.multi_grained.device import MultiGrainedScan
from ...kernels.multi_grained.reference import Matrices, TextRecord, VideoRecord, multi_grained
from ...kernels.token_frame.device import TokenFrameScan
from ...kernels.token_frame.reference import token_frame
from .floor import FRAMES, WIDTH, Work

WORDS, _SCALE = 32, 100.0
# A text has so many words, the others of its positions are empty where a scorer knows that.
_SAID = 11


@dataclass(frozen=True)
class Texts:
    """Unit vectors float32 of sentences [Q, D] and of word positions [Q, W, D]."""

    sentence: Tensor
    words: Tensor


@dataclass
class PairCase:
    """A gallery: unit vectors float16 of videos [V, D] and frames [V, F, D], a mask [V, F], and X-CLIP's matrices."""

    scorer: str
    whole: Tensor
    frames: Tensor
    mask: Tensor
    matrices: Matrices

    def __len__(self) -> int:
        return len(self.frames if self.scorer != "dot" else self.whole)

    @staticmethod
    def drawn(scorer: str, videos: int, device: torch.device, step: int = 8192) -> PairCase:
        """A random one, of what the scorer reads."""
        counts = FRAMES if scorer != "dot" else 0
        frames = torch.empty(videos, counts, WIDTH, dtype=torch.float16, device=device)
        whole = torch.empty(videos, WIDTH, dtype=torch.float16, device=device)
        common = torch.randn(WIDTH, device=device)
        for start in range(0, videos, step):
            scene = torch.randn(min(step, videos - start), 1, WIDTH, device=device) + common
            whole[start : start + step] = _unit(scene[:, 0])
            if counts:
                apart = torch.randn(len(scene), counts, WIDTH, device=device)
                frames[start : start + step] = _unit(scene + 0.5 * apart)
        mask = (torch.rand(videos, FRAMES, device=device) < 0.8).half()
        mask[:, 0] = 1
        sizes = (WORDS, FRAMES, WORDS, FRAMES, FRAMES, WORDS)
        matrices = (torch.eye(n, device=device) + 0.2 * torch.randn(n, n, device=device) / n for n in sizes)
        return PairCase(scorer, whole, frames, mask, Matrices(*matrices))

    def texts(self, queries: int) -> Texts:
        """Random texts, nearest to some of the videos."""
        near = self.whole[torch.randint(len(self.whole), (queries,), device=self.whole.device)].float()
        words = _unit(0.4 * near[:, None] + torch.randn(queries, WORDS, WIDTH, device=near.device) / WIDTH**0.5)
        if self.scorer == "token_frame":
            words[:, _SAID:] = 0
        return Texts(_unit(0.5 * near + torch.randn_like(near) / WIDTH**0.5), words)

    def scan(self, texts: Texts) -> DeviceScan:
        """The kernel's scan of the whole gallery."""
        if self.scorer == "dot":
            return DotScan(texts.sentence, self.whole)
        if self.scorer == "frame_softmax":
            return FrameSoftmaxScan(_SCALE * texts.sentence, self.frames, self.mask)
        if self.scorer == "token_frame":
            return TokenFrameScan(texts.words, self.frames)
        record = TextRecord(texts.sentence, texts.sentence, texts.words, texts.words)
        return MultiGrainedScan(record, self.whole, self.frames, self.matrices, _SCALE)

    def formula(self, texts: Texts, videos: int, dtype: torch.dtype) -> Callable[[], Tensor]:
        """The authors' formula of the first videos, with records that were widened to ``dtype`` before."""
        sentence, words = texts.sentence.to(dtype), texts.words.to(dtype)
        whole, frames, mask = (held[:videos].to(dtype) for held in (self.whole, self.frames, self.mask))
        if self.scorer == "dot":
            return lambda: dot(sentence, whole)
        if self.scorer == "frame_softmax":
            return lambda: frame_softmax(_SCALE * sentence, frames, mask)
        if self.scorer == "token_frame":
            return lambda: token_frame(words, frames)
        matrices = Matrices(*(matrix.to(dtype) for matrix in self.matrices))
        record, video = TextRecord(sentence, sentence, words, words), VideoRecord(whole, frames)
        scale = torch.tensor(_SCALE, dtype=dtype, device=whole.device)
        return lambda: multi_grained(record, video, matrices, scale)

    def with_ties(self) -> PairCase:
        """The case with its first videos a second time at its end, to the bit."""
        count = min(64, len(self) // 2)
        for held in (self.whole, self.frames, self.mask):
            held[len(held) - count :] = held[:count].clone()
        return self

    @property
    def floats(self) -> int:
        """Numbers that the formula holds for every pair, as ``export.bundle.scorers`` has them."""
        return _FLOATS[self.scorer]


_FLOATS: Mapping[str, int] = {
    "dot": 2,
    "frame_softmax": 4 * FRAMES,
    "token_frame": 7 * FRAMES * WORDS,
    "multi_grained": 5 * FRAMES * WORDS,
}


def pair_work(scorer: str, queries: int, videos: int) -> Work:
    """What a scorer must read and write, and the operations of the products that its formula has."""
    frames = 2 * FRAMES * WIDTH * videos
    operations, read = {
        "dot": (2 * WIDTH, 2 * WIDTH * videos),
        "frame_softmax": (2 * FRAMES * WIDTH, frames + 2 * FRAMES * videos),
        "token_frame": (2 * WORDS * FRAMES * WIDTH, frames),
        "multi_grained": (
            2 * (WORDS * FRAMES + WORDS + FRAMES + 1) * WIDTH + 2 * (FRAMES * WORDS**2 + WORDS * FRAMES**2),
            frames + 2 * WIDTH * videos,
        ),
    }[scorer]
    return Work(read + 4 * queries * videos, operations * queries * videos)


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
