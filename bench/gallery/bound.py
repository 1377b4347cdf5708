"""Videos, texts and errors by which the certified search's bound is tried: whether it drops what is good enough."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import numpy.typing as npt
import torch

from ...kernels.topk_attention import factorised
from ...kernels.topk_attention.biases import Biases
from ...kernels.topk_attention.certified.reference import Query, Videos, upper
from ...kernels.topk_attention.layout import HeadShape
from ...kernels.topk_attention.reference import TopKAttention

Doubles = npt.NDArray[np.float64]
VIOLATIONS = "violations of the bound, in ten pairs a video"
WIDTH = 64
# Mean lengths of errors, and kinds of directions that they have.
_LENGTHS, _DIRECTIONS = (0.01, 0.1, 0.5, 1.5), 3
_VIDEOS = 1500
# Frames, K, how far weights are from the authors' first ones, the size of the last two norms' biases, and how far apart
# frames of a video are.
CASES = [
    (6, 1, 0.05, 0.1, 0.5),
    (6, 3, 0.05, 0.1, 0.5),
    (6, 6, 0.05, 0.1, 0.5),
    (1, 1, 0.05, 0.1, 0.5),
    (6, 3, 0.05, 1.0, 0.5),
    (6, 3, 0.05, 0.1, 3.0),
    (12, 4, 0.3, 1.0, 1.0),
    (6, 3, 0.05, 0.1, 0.0),
]


class Case:
    """A head in float64, and videos and texts of it, their scores and what a bound of them needs."""

    def __init__(self, case: tuple[float, ...], videos: int, seed: int = 0) -> None:
        frames, top, weights, biases, apart = case
        values = torch.Generator().manual_seed(seed)
        head = TopKAttention(WIDTH, top_k=int(top)).double()
        for parameter in head.parameters():
            noise = torch.randn(parameter.shape, generator=values, dtype=torch.float64)
            parameter.data += weights * noise / (WIDTH**0.5 if parameter.ndim == 2 else 1)
        for norm in (head.layer_norm2, head.layer_norm3):
            norm.bias.data += biases * torch.randn(WIDTH, generator=values, dtype=torch.float64)
        self.folded = factorised.FactorisedHead(head, int(frames))
        self.shape: HeadShape = self.folded.shape
        self.biases = Biases(*self.folded.biases.tolist())
        scene = torch.randn(videos, 1, WIDTH, generator=values, dtype=torch.float64)
        clips = scene + apart * torch.randn(videos, int(frames), WIDTH, generator=values, dtype=torch.float64)
        text = clips.mean((0, 1)) + clips[0, 0] + torch.randn(1, WIDTH, generator=values, dtype=torch.float64)
        with torch.no_grad():
            self.text = self.folded.encode_text(text)
            self.record = self.folded.encode_video(clips)
            self.scores = factorised.score(*self.text, *self.record, self.shape)[0][0].numpy()
        self.query = Query(*(part[0].numpy() for part in self.text))
        self.frames, self.tables = self.record[0][:, 0].numpy(), self.record[1].numpy()

    def below(self, stored: Doubles, errors: Doubles, *, free: bool) -> int:
        """How many videos with a score from 0 on the bound puts below their own score."""
        reached = np.flatnonzero(self.scores >= 0)
        videos = Videos(stored[reached], errors[reached], self.tables[reached])
        found = upper(self.query, videos, self.shape, self.biases, self.scores[reached], free=free)
        return int((found < 0).sum())

    def worst(self, size: Doubles, direction: int, values: np.random.Generator) -> Doubles:
        """Errors [V, F, D] of these lengths [V, F], in the plane of both vectors: those that hide most of the score."""
        u, w = self.query.logit, self.query.readout
        if direction == 0:
            readout = self.frames @ w
            level = readout - readout.mean(1, keepdims=True)
            made = level[..., None] * u + w
        elif direction == 1:
            made = values.choice([-1.0, 1.0], size.shape)[..., None] * u + 0 * w
        else:
            mix = values.standard_normal((2, *size.shape, 1))
            made = mix[0] * u / np.linalg.norm(u) + mix[1] * w / np.linalg.norm(w)
        errors: Doubles = made / np.linalg.norm(made, axis=-1, keepdims=True) * size[..., None]
        return errors


def violations(pairs: int, told: Callable[[str], object]) -> int:
    """How many of at least so many pairs of a video and a text, in all cases in turn, the bound puts below their score.

    What is stored of a video differs by errors of every length, made to hide most of its score, and both tests are
    asked at that very score.
    """
    found = seen = 0
    for seed in count():
        for kind in CASES:
            if seen >= pairs:
                return found
            case = Case(kind, _VIDEOS, seed)
            found += wrong(case, 1.0, seed)
            seen += len(_LENGTHS) * _DIRECTIONS * 2 * int((case.scores >= 0).sum())
        told(f"{seen} pairs")
    raise AssertionError("seeds have no end")


def wrong(case: Case, share: float, seed: int) -> int:
    """Violations over sizes and directions of errors, where the bound is told ``share`` of every error."""
    values, found = np.random.default_rng(seed), 0
    for length in _LENGTHS:
        for direction in range(_DIRECTIONS):
            size = length * values.uniform(0.5, 1.5, case.frames.shape[:2])
            stored = case.frames - case.worst(size, direction, values)
            for free in (True, False):
                found += case.below(stored, share * size, free=free)
    return found
