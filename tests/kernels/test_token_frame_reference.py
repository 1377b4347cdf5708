"""Mug-STAN's score against a loop that follows its formula pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from framesift.kernels.token_frame.reference import token_frame

SHAPES = [(1, 1, 1, 1, 4), (2, 3, 5, 7, 9), (3, 2, 32, 12, 64), (2, 5, 3, 32, 17)]


def records(queries: int, videos: int, words: int, frames: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Word vectors, a different number of them zero in every text, and frame vectors."""
    torch.manual_seed(queries + videos + words + frames + width)
    tokens = torch.nn.functional.normalize(torch.randn(queries, words, width).double(), dim=-1)
    counts = torch.randint(1, words + 1, (queries, 1))
    tokens = tokens * (torch.arange(words) < counts).unsqueeze(-1)
    return tokens, torch.nn.functional.normalize(torch.randn(videos, frames, width).double(), dim=-1)


def pooled(values: list[float], tau: float) -> float:
    top = max(values)
    raised = [math.exp(tau * (value - top)) for value in values]
    return sum(weight * value for weight, value in zip(raised, values, strict=True)) / sum(raised)


def pair_score(words: torch.Tensor, frames: torch.Tensor, tau: float) -> float:
    present = [word for word in words if word.any()]
    similar = [[float(word @ frame) for frame in frames] for word in present]
    to_video = pooled([pooled(row, tau) for row in similar], tau)
    to_text = pooled([pooled([row[j] for row in similar], tau) for j in range(len(frames))], tau)
    return (to_video + to_text) / 2


@pytest.mark.parametrize("tau", [100.0, 7.0])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-W{}-F{}-D{}".format(*s))
def test_equals_the_formula_pair_by_pair(shape: tuple[int, int, int, int, int], tau: float) -> None:
    words, frames = records(*shape)
    scores = token_frame(words, frames, tau)
    for q in range(shape[0]):
        for v in range(shape[1]):
            assert scores[q, v] == pytest.approx(pair_score(words[q], frames[v], tau), abs=1e-12)


def test_a_pair_alone_and_a_slice_score_as_in_the_batch() -> None:
    words, frames = records(5, 6, 9, 7, 16)
    whole = token_frame(words, frames)
    torch.testing.assert_close(token_frame(words[1:4], frames[2:5]), whole[1:4, 2:5], atol=1e-13, rtol=0)
    for q in range(5):
        for v in range(6):
            alone = token_frame(words[q : q + 1], frames[v : v + 1])
            torch.testing.assert_close(alone[0, 0], whole[q, v], atol=1e-13, rtol=0)


def test_positions_without_a_word_change_nothing() -> None:
    words, frames = records(3, 4, 6, 5, 16)
    longer = torch.cat([words, torch.zeros(3, 4, 16).double()], 1)
    torch.testing.assert_close(token_frame(longer, frames), token_frame(words, frames), atol=1e-13, rtol=0)


def test_a_text_without_any_word_scores_zero_and_not_nan() -> None:
    _, frames = records(1, 4, 6, 5, 16)
    assert token_frame(torch.zeros(1, 6, 16).double(), frames).tolist() == [[0.0] * 4]
