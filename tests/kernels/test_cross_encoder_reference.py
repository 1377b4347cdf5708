"""CLIP4Clip's tight score against a loop that follows its formula pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from framesift.export.encoders.temporal import temporal_transformer
from framesift.kernels.cross_encoder.reference import CrossEncoder, score_all, score_pairs

SHAPES = [(1, 1, 1, 8, 1, 1), (2, 3, 5, 24, 3, 2), (3, 2, 12, 64, 1, 4)]


def trained(width: int, heads: int, layers: int, positions: int) -> tuple[CrossEncoder, nn.Linear]:
    """Modules whose every parameter is random, in float64."""
    cross = CrossEncoder(width, temporal_transformer(width, layers, heads), positions=positions).double()
    dense = nn.Linear(width, 1).double()
    for parameter in (*cross.parameters(), *dense.parameters()):
        nn.init.normal_(parameter, std=0.3)
    return cross, dense


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.pow(2).mean() + 1e-12).sqrt() * layer.weight + layer.bias


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + (-1.702 * x).exp())


def attention(tokens: list[Tensor], kept: list[int], layer: nn.Module, heads: int) -> list[Tensor]:
    width = len(tokens[0])
    size = width // heads
    projected = [layer.in_proj_weight @ token + layer.in_proj_bias for token in tokens]
    results = []
    for row in projected:
        parts = []
        for h in range(heads):
            q = row[h * size : (h + 1) * size]
            keys = {n: projected[n][width + h * size : width + (h + 1) * size] for n in kept}
            raised = {n: math.exp(float(q @ key) / math.sqrt(size)) for n, key in keys.items()}
            values = [raised[n] * projected[n][2 * width + h * size : 2 * width + (h + 1) * size] for n in kept]
            parts.append(torch.stack(values).sum(0) / sum(raised.values()))
        results.append(layer.out_proj(torch.cat(parts)))
    return results


def pair_score(cross: CrossEncoder, dense: nn.Linear, text: Tensor, frames: Tensor, mask: Tensor, heads: int) -> float:
    table = cross.embeddings.position_embeddings.weight
    tokens = [text + table[0], *(frame + table[1 + f] for f, frame in enumerate(frames))]
    kept = [0, *(1 + f for f in range(len(frames)) if mask[f] == 1)]
    for block in cross.transformer.resblocks:
        seen = attention([norm(token, block.ln_1) for token in tokens], kept, block.attn, heads)
        tokens = [token + change for token, change in zip(tokens, seen, strict=True)]
        inner = [quick_gelu(block.mlp.c_fc(norm(token, block.ln_2))) for token in tokens]
        tokens = [token + block.mlp.c_proj(x) for token, x in zip(tokens, inner, strict=True)]
    pooled = quick_gelu(cross.pooler.dense(norm(tokens[0], cross.pooler.ln_pool)))
    return float(dense(pooled))


def records(cross: CrossEncoder, queries: int, videos: int, frames: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    mask = (torch.rand(videos, frames) < 0.6).double()
    text, clips = torch.randn(queries, width).double(), torch.randn(videos, frames, width).double()
    return cross.place_text(text), cross.place_frames(clips), mask


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-F{}-D{}-H{}-L{}".format(*s))
def test_equals_the_formula_pair_by_pair(shape: tuple[int, int, int, int, int, int]) -> None:
    queries, videos, frames, width, heads, layers = shape
    torch.manual_seed(sum(shape))
    cross, dense = trained(width, heads, layers, frames + 3)
    text, clips = torch.randn(queries, width).double(), torch.randn(videos, frames, width).double()
    mask = (torch.rand(videos, frames) < 0.6).double()
    with torch.no_grad():
        scores = score_all(cross, dense, cross.place_text(text), cross.place_frames(clips), mask)
        for q in range(queries):
            for v in range(videos):
                want = pair_score(cross, dense, text[q], clips[v], mask[v], heads)
                assert scores[q, v] == pytest.approx(want, abs=1e-10)


def test_listed_pairs_a_pair_alone_and_a_slice_score_as_in_the_whole() -> None:
    torch.manual_seed(1)
    cross, dense = trained(32, 2, 2, 9)
    text, frames, mask = records(cross, 4, 5, 7, 32)
    with torch.no_grad():
        whole = score_all(cross, dense, text, frames, mask)
        part = score_all(cross, dense, text[1:3], frames[2:5], mask[2:5])
        pairs = torch.tensor([[3, 0], [0, 4], [3, 0], [1, 1]])
        listed = score_pairs(cross, dense, text, frames, mask, pairs)
        alone = score_pairs(cross, dense, text, frames, mask, pairs[1:2])
    torch.testing.assert_close(part, whole[1:3, 2:5], atol=1e-12, rtol=0)
    torch.testing.assert_close(listed, whole[pairs[:, 0], pairs[:, 1]], atol=1e-12, rtol=0)
    torch.testing.assert_close(alone, listed[1:2], atol=1e-12, rtol=0)


def test_what_is_in_a_masked_frame_does_not_matter() -> None:
    torch.manual_seed(2)
    cross, dense = trained(32, 2, 2, 9)
    text, frames, mask = records(cross, 3, 4, 7, 32)
    changed = torch.where(mask.bool().unsqueeze(-1), frames, -frames.flip(0))
    with torch.no_grad():
        before, after = (score_all(cross, dense, text, clips, mask) for clips in (frames, changed))
    torch.testing.assert_close(after, before, atol=1e-12, rtol=0)


def test_more_frames_than_positions_are_refused() -> None:
    cross, _ = trained(8, 1, 1, 5)
    with pytest.raises(ValueError, match="5 frames and the text need 6 positions, the weights hold 5"):
        cross.place_frames(torch.zeros(1, 5, 8).double())
