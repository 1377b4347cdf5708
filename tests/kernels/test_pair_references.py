"""Scores of transformers that read a pair whole, against loops that follow the formulas token by token."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from framesift.export.encoders.post_ln import Layers
from framesift.export.encoders.vit import VitBlock
from framesift.kernels.clip_pooling.reference import POOLINGS, clip_logits, match
from framesift.kernels.rolled_encoder.reference import text_tokens
from framesift.kernels.tangled_encoder.reference import TangledAttention, near


def random_weights(module: nn.Module) -> nn.Module:
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize(("frames", "words", "tokens", "heads"), [(1, 3, 9, 1), (2, 5, 17, 2), (3, 4, 25, 3)], ids=str)
@torch.no_grad()
def test_rolled_frames_read_the_text_one_by_one(frames: int, words: int, tokens: int, heads: int) -> None:
    torch.manual_seed(frames)
    width = 6 * heads
    blocks = [random_weights(VitBlock(width, heads=heads)) for _ in range(2)]
    norm = random_weights(nn.LayerNorm(width))
    text, patches = torch.randn(2, words, width).double(), torch.randn(2, frames, tokens, width).double()
    mask = torch.ones(2, words).double()
    mask[1, 2:] = 0
    got = text_tokens(blocks, norm, text, mask, patches)
    share = tokens // 8
    for pair, kept in ((0, words), (1, 2)):
        # Masked words are left out altogether: nothing attends to them.
        said = [text[pair, :kept]] * frames
        seen = list(patches[pair])
        for block in blocks:
            moved = [frame.clone() for frame in seen]
            for f in range(frames):
                for place in range(1, 1 + share):
                    moved[f][place] = seen[(f - 1) % frames][place]
                for place in range(tokens - share, tokens):
                    moved[f][place] = seen[(f + 1) % frames][place]
            mixed = [block(torch.cat([said[f], moved[f]])[None])[0] for f in range(frames)]
            said, seen = [each[:kept] for each in mixed], [each[kept:] for each in mixed]
        wanted = torch.stack([norm(each[0]) for each in said]).mean(0)
        torch.testing.assert_close(got[pair], wanted)


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("how", sorted(POOLINGS))
@torch.no_grad()
def test_clips_are_put_together_on_their_logits(labels: int, how: str) -> None:
    torch.manual_seed(labels)
    layers, head = random_weights(Layers(8, 2, heads=2)), random_weights(nn.Linear(8, labels))
    text, clips = torch.randn(2, 4, 8).double(), torch.randn(2, 3, 5, 8).double()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).double()
    logits = clip_logits(lambda tokens, bias: head(layers(tokens, bias)[:, 0]), text, mask, clips)
    pooled = match(POOLINGS[how](logits))
    for pair, kept in ((0, 4), (1, 2)):
        each = []
        for clip in range(3):
            alone = head(layers(torch.cat([text[pair, :kept], clips[pair, clip]])[None])[0, 0]).tolist()
            torch.testing.assert_close(
                logits[pair, clip], torch.tensor(alone, dtype=torch.float64), atol=1e-9, rtol=1e-9
            )
            each.append(alone)
        columns = list(zip(*each, strict=True))
        joined = {
            "lse": [math.log(sum(map(math.exp, column))) for column in columns],
            "mean": [sum(column) / 3 for column in columns],
            "max": [max(column) for column in columns],
        }[how]
        no = 0.0 if labels == 1 else joined[0]
        assert pooled[pair].item() == pytest.approx(1 / (1 + math.exp(no - joined[-1])), rel=1e-9)


def looked_at(query: Tensor, key: Tensor, value: Tensor, counts: Tensor, heads: int) -> Tensor:
    size = query.shape[1] // heads
    rows = []
    for q in query:
        parts = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            raised = [
                math.exp(float(q[part] @ k[part]) / math.sqrt(size)) * float(c)
                for k, c in zip(key, counts, strict=True)
            ]
            values = [share / sum(raised) * v[part] for share, v in zip(raised, value, strict=True)]
            parts.append(torch.stack(values).sum(0))
        rows.append(torch.cat(parts))
    return torch.stack(rows)


@torch.no_grad()
def test_what_actions_see_moves_the_keys_and_values_of_the_others() -> None:
    torch.manual_seed(3)
    widths, heads = (10, 6, 8), 2
    module = random_weights(TangledAttention(widths, 12, heads))
    counts = [torch.tensor([1.0, 1, 1, 0, 0, 0, 0]), torch.tensor([1.0, 1, 1, 1, 1, 0]), torch.ones(5)]
    streams = [torch.randn(len(count), width).double() for count, width in zip(counts, widths, strict=True)]
    biases = tuple(((1 - count) * -10_000)[None, None, None].double() for count in counts)
    got = module(tuple(x[None] for x in streams), biases)
    q, k, v = (
        [getattr(module, f"{part}{n}")(x) for n, x in enumerate(streams, 1)] for part in ("query", "key", "value")
    )
    seen = looked_at(q[2], k[0], v[0], counts[0], heads)
    said = looked_at(q[2], k[1], v[1], counts[1], heads)
    for stream, key, source in ((0, module.key_at, said), (1, module.key_av, seen)):
        for row in range(len(k[stream])):
            action = math.floor(row * 5 / len(k[stream]))
            k[stream][row] = k[stream][row] + key(source[action])
            v[stream][row] = v[stream][row] + module.value_at(source[action])
    for stream in range(3):
        wanted = looked_at(q[stream], k[stream], v[stream], counts[stream], heads)
        torch.testing.assert_close(got[stream][0], wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 4, 5, 7, 14, 36])
def test_actions_are_stretched_to_the_nearest(rows: int) -> None:
    stretched = near(torch.arange(5.0)[None, :, None], rows)[0, :, 0]
    assert stretched.tolist() == [math.floor(row * 5 / rows) for row in range(rows)]
