"""The shared score of a video's experts against a loop over pairs and experts."""

from __future__ import annotations

import math

import pytest
import torch

from framesift.kernels.weighed_experts.reference import weighed_experts


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 5, 2, 7), (17, 2, 7, 33)], ids=lambda s: "Q{}-V{}-M{}-D{}".format(*s)
)
def test_equals_a_loop_over_pairs(shape: tuple[int, int, int, int]) -> None:
    queries, videos, experts, width = shape
    torch.manual_seed(sum(shape))
    text, video = torch.randn(queries, experts, width).double(), torch.randn(videos, experts, width).double()
    logits, present = 3 * torch.randn(queries, experts).double(), (torch.rand(videos, experts) < 0.5).double()
    present[:, -1] = 1
    scores = weighed_experts(text.flatten(1), logits, (video * present.unsqueeze(-1)).flatten(1), present)
    for q in range(queries):
        for v in range(videos):
            known = [m for m in range(experts) if present[v, m]]
            shares = [math.exp(float(logits[q, m])) for m in known]
            products = [float(text[q, m] @ video[v, m]) for m in known]
            want = sum(s * p for s, p in zip(shares, products, strict=True)) / sum(shares)
            assert scores[q, v] == pytest.approx(want, abs=1e-12)


def test_a_share_that_vanishes_scores_zero_and_not_nan() -> None:
    text, video = torch.ones(1, 2), torch.tensor([[0.0, 1.0]])
    scores = weighed_experts(text, torch.tensor([[200.0, -200.0]]), video, torch.tensor([[0.0, 1.0]]))
    assert scores.tolist() == [[0.0]]


def test_records_of_different_models_are_refused() -> None:
    with pytest.raises(ValueError, match="texts have 2 experts of 8 numbers and videos 2 of 6"):
        weighed_experts(torch.ones(1, 8), torch.ones(1, 2), torch.ones(1, 6), torch.ones(1, 2))
