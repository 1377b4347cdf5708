"""The bound of the certified search: no video that reaches a threshold is ever below it, whatever the errors are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from framesift.kernels.topk_attention import factorised
from framesift.kernels.topk_attention.biases import Biases
from framesift.kernels.topk_attention.certified.encode import encode
from framesift.kernels.topk_attention.certified.reference import Query, Videos, upper
from framesift.kernels.topk_attention.certified.turn import turned
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.reference import TopKAttention

Doubles = npt.NDArray[np.float64]
WIDTH = 64
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


def ids(case: tuple[float, ...]) -> str:
    return "F{}-K{}-weights{}-biases{}-apart{}".format(*case)


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
        return made / np.linalg.norm(made, axis=-1, keepdims=True) * size[..., None]


def wrong(case: Case, share: float, seed: int) -> int:
    """Violations over sizes and directions of errors, where the bound is told ``share`` of every error."""
    values, found = np.random.default_rng(seed), 0
    for length in (0.01, 0.1, 0.5, 1.5):
        for direction in range(3):
            size = length * values.uniform(0.5, 1.5, case.frames.shape[:2])
            stored = case.frames - case.worst(size, direction, values)
            for free in (True, False):
                found += case.below(stored, share * size, free=free)
    return found


@pytest.mark.parametrize("kind", CASES, ids=ids)
def test_errors_that_are_made_to_hide_a_score_never_do(kind: tuple[float, ...]) -> None:
    assert wrong(Case(kind, 300), 1.0, 1) == 0


def test_the_bound_has_no_room_to_give_away() -> None:
    # Half of the errors would not do: so the tests above could fail.
    assert wrong(Case(CASES[1], 300), 0.5, 1) > 300
    assert wrong(Case(CASES[5], 300), 0.5, 1) > 300


@pytest.mark.parametrize("kind", CASES, ids=ids)
def test_what_is_stored_bounds_what_was_rounded(kind: tuple[float, ...]) -> None:
    case = Case(kind, 100)
    half = case.record[0].numpy().astype(np.float16)
    steps, side = encode(half, case.tables.astype(np.float32), case.shape, case.biases)
    count, wide = case.shape.frames, side.astype(np.float64)
    whole = steps.astype(np.float64) - 128
    mean = whole[:, -1] * wide[:, 5 * count, None]
    stored = whole[:, :-1] * wide[:, :count, None] + mean[:, None]
    off = np.linalg.norm(turned(half[:, 0].astype(np.float64)) - stored, axis=-1)
    assert (off <= wide[:, count : 2 * count]).all()
    assert np.abs(whole).max() <= 127
    if kind[-1]:
        assert (off >= 0.9 * wide[:, count : 2 * count]).mean() > 0.9
        assert off.max() < 0.02 * WIDTH**0.5


def test_a_turn_keeps_products_and_evens_out_dimensions() -> None:
    values = np.random.default_rng(3)
    for width in (16, 48, 64, 192, 512):
        x, y = values.standard_normal((2, 5, width))
        x[:, 3] *= 100
        np.testing.assert_allclose(turned(x) @ turned(y).T, x @ y.T, atol=1e-4 * width)
        if width & (width - 1) == 0:
            assert np.abs(turned(x)).max() < 0.5 * np.abs(x).max()


@pytest.mark.slow
def test_millions_of_pairs_never_violate_the_bound() -> None:
    pairs = 0
    for seed in range(6):
        for kind in CASES:
            case = Case(kind, 1500, seed)
            assert wrong(case, 1.0, seed) == 0, (kind, seed)
            pairs += 24 * int((case.scores >= 0).sum())
    assert pairs > 500_000
