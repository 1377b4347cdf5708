"""TS2-Net's score against a loop that follows its formula pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from framesift.kernels.frame_softmax.reference import frame_softmax, frame_softmax_weights

SHAPES = [(1, 1, 1, 4), (3, 5, 12, 33), (2, 7, 19, 64), (5, 2, 3, 7)]


def records(queries: int, videos: int, frames: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(queries + videos + frames + width)
    text = 37.0 * torch.nn.functional.normalize(torch.randn(queries, width).double(), dim=-1)
    clips = torch.nn.functional.normalize(torch.randn(videos, frames, width).double(), dim=-1)
    mask = (torch.rand(videos, frames) < 0.6).double()
    mask[:, 0] = 1
    return text, clips, mask


def pair_score(text: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> float:
    scale = float(text.norm())
    similar = [float(text @ frame) / scale for frame in frames]
    kept = [f for f in range(len(frames)) if mask[f] == 1]
    length = math.sqrt(sum(similar[f] ** 2 for f in kept))
    raised = {f: math.exp(4 * similar[f] / length) for f in kept}
    return scale * sum(raised[f] * similar[f] for f in kept) / sum(raised.values())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-F{}-D{}".format(*s))
def test_equals_the_formula_pair_by_pair(shape: tuple[int, int, int, int]) -> None:
    text, frames, mask = records(*shape)
    scores, weights = frame_softmax_weights(text, frames, mask)
    for q in range(shape[0]):
        for v in range(shape[1]):
            assert scores[q, v] == pytest.approx(pair_score(text[q], frames[v], mask[v]), abs=1e-11)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(scores))
    assert not (weights * (1 - mask)).any()


def test_a_pair_alone_and_a_slice_score_as_in_the_batch() -> None:
    text, frames, mask = records(6, 9, 12, 64)
    whole = frame_softmax(text, frames, mask)
    part = frame_softmax(text[2:5], frames[3:7], mask[3:7])
    torch.testing.assert_close(part, whole[2:5, 3:7], atol=1e-12, rtol=0)
    for q in range(6):
        for v in range(9):
            alone = frame_softmax(text[q : q + 1], frames[v : v + 1], mask[v : v + 1])
            torch.testing.assert_close(alone[0, 0], whole[q, v], atol=1e-12, rtol=0)


def test_what_is_in_a_masked_frame_does_not_matter() -> None:
    text, frames, mask = records(3, 4, 8, 16)
    changed = torch.where(mask.bool().unsqueeze(-1), frames, -frames.flip(0))
    torch.testing.assert_close(
        frame_softmax(text, changed, mask), frame_softmax(text, frames, mask), atol=1e-12, rtol=0
    )


def test_the_temperature_scales_scores_and_leaves_the_weights() -> None:
    text, frames, mask = records(3, 4, 8, 16)
    scores, weights = frame_softmax_weights(text, frames, mask)
    doubled, same = frame_softmax_weights(2 * text, frames, mask)
    torch.testing.assert_close(doubled, 2 * scores)
    torch.testing.assert_close(same, weights)
