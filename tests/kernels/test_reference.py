"""The published formula against a loop that follows it pair by pair, and its corner cases."""

from __future__ import annotations

import math

import pytest
import torch

from framesift.kernels.topk_attention.reference import TopKAttention, topk_softmax

SHAPES = [
    (1, 1, 4, 64, 1, 1),
    (3, 5, 12, 64, 1, 4),
    (2, 7, 12, 96, 4, 12),
    (5, 2, 7, 32, 2, 3),
    (4, 3, 32, 64, 1, 31),
]


def trained(width: int, heads: int, top_k: int) -> TopKAttention:
    """A head whose every parameter is random, in float64."""
    head = TopKAttention(width, heads=heads, top_k=top_k).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def pair_score(head: TopKAttention, text: torch.Tensor, frames: torch.Tensor) -> tuple[float, torch.Tensor]:
    """One text [D] and one video [F, D], written out with plain loops."""

    def norm(x: torch.Tensor, layer: torch.nn.LayerNorm) -> torch.Tensor:
        centred = x - x.mean()
        return centred / (centred.pow(2).mean() + layer.eps).sqrt() * layer.weight + layer.bias

    attn, heads = head.cross_attn, head.cross_attn.heads
    q = attn.q_proj(norm(text, head.layer_norm1))
    normed = [norm(f, head.layer_norm1) for f in frames]
    keys, values = [attn.k_proj(x) for x in normed], [attn.v_proj(x) for x in normed]
    size = len(q) // heads
    pooled, weights = [], torch.zeros(heads, len(frames), dtype=text.dtype)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        logits = [float(q[part] @ k[part]) / math.sqrt(size) for k in keys]
        kept = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[: attn.top_k]
        total = sum(math.exp(logits[i]) for i in kept)
        for i in kept:
            weights[h, i] = math.exp(logits[i]) / total
        pooled.append(sum(weights[h, i] * values[i][part] for i in kept))
    y = norm(attn.out_proj(torch.cat(pooled)), head.layer_norm2)
    z = norm(y + head.linear_proj(y), head.layer_norm3)
    return float(text @ z / (text.norm() * z.norm())), weights.mean(0)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-F{}-D{}-H{}-K{}".format(*s))
def test_equals_the_formula_pair_by_pair(shape: tuple[int, ...]) -> None:
    queries, videos, frames, width, heads, top_k = shape
    torch.manual_seed(sum(shape))
    head = trained(width, heads, top_k)
    text = torch.randn(queries, width, dtype=torch.float64)
    records = torch.randn(videos, frames, width, dtype=torch.float64)
    with torch.no_grad():
        scores, attention = head(text, records)
        for q in range(queries):
            for v in range(videos):
                score, weights = pair_score(head, text[q], records[v])
                assert scores[q, v] == pytest.approx(score, abs=1e-12)
                torch.testing.assert_close(attention[q, v], weights, atol=1e-12, rtol=0)


def test_ties_go_to_the_earlier_frame() -> None:
    weights = topk_softmax(torch.tensor([1.0, 2.0, 2.0, 2.0, 1.0]), 2)
    assert weights.tolist() == [0.0, 0.5, 0.5, 0.0, 0.0]
    assert topk_softmax(torch.zeros(6), 3).tolist() == pytest.approx([1 / 3] * 3 + [0.0] * 3)


@pytest.mark.parametrize("k", [1, 3, 12, 40])
def test_keeps_k_and_sums_to_one(k: int) -> None:
    weights = topk_softmax(torch.randn(9, 4, 12, generator=torch.Generator().manual_seed(k)), k)
    assert (weights > 0).sum(-1).unique().tolist() == [min(k, 12)]
    torch.testing.assert_close(weights.sum(-1), torch.ones(9, 4))


def test_scoring_a_slice_is_a_slice_of_the_scoring() -> None:
    torch.manual_seed(0)
    head = trained(64, 1, 4)
    text, records = torch.randn(6, 64).double(), torch.randn(9, 12, 64).double()
    with torch.no_grad():
        whole, part = head(text, records)[0], head(text[2:4], records[5:8])[0]
    torch.testing.assert_close(part, whole[2:4, 5:8], atol=1e-13, rtol=0)


def test_other_videos_cannot_change_a_score() -> None:
    torch.manual_seed(0)
    head = trained(64, 2, 4)
    text, records = torch.randn(2, 64).double(), torch.randn(3, 12, 64).double()
    poisoned = records.clone()
    poisoned[1] = math.nan
    with torch.no_grad():
        before, after = head(text, records)[0], head(text, poisoned)[0]
    assert after[:, 1].isnan().all()
    torch.testing.assert_close(after[:, [0, 2]], before[:, [0, 2]], atol=0, rtol=0)
