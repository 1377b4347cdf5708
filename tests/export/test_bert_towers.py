"""BERT, DistilBERT and the vision transformer against the formulas of their papers, written token by token."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from framesift.export.encoders.bert import Bert, BertConfig
from framesift.export.encoders.distilbert import DistilBert
from framesift.export.encoders.post_ln import Layers, key_bias
from framesift.export.encoders.vit import VitBase, VitBlock
from framesift.export.systems.bert import bert_sizes
from framesift.export.systems.weights import Weights as Checkpoint

Array = NDArray[np.float64]
Weights = Mapping[str, Array]
SMALL = BertConfig(width=48, layers=2, inside=80, vocab_size=30, positions=12, heads=3)


def randomised(module: nn.Module) -> Weights:
    """The module's weights in float64, after every one of them has become a random number."""
    module.double().eval()
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return {key: value.numpy() for key, value in module.state_dict().items()}


def linear(weights: Weights, name: str, x: Array) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: Weights, name: str, x: Array, eps: float) -> Array:
    centred = x - x.mean()
    return centred / math.sqrt((centred**2).mean() + eps) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: Array) -> Array:
    return np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])


def attention(q: Array, k: Array, v: Array, heads: int, counts: Array) -> Array:
    """Rows [N, W], one query and one head at a time, over the keys that count."""
    size = q.shape[1] // heads
    out = np.zeros_like(q)
    for row in range(len(q)):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            logits = [float(q[row, part] @ k[other, part]) / math.sqrt(size) for other in range(len(k))]
            shares = [math.exp(logit) if real else 0.0 for logit, real in zip(logits, counts, strict=True)]
            out[row, part] = sum(share / sum(shares) * v[other, part] for other, share in enumerate(shares))
    return out


def post_ln(weights: Weights, stem: str, names: tuple[str, ...], x: Array, heads: int, counts: Array) -> Array:
    query, key, value, dense, first, inner, outer, last = (f"{stem}.{name}" for name in names)
    mixed = attention(*(linear(weights, name, x) for name in (query, key, value)), heads, counts)
    x = linear(weights, dense, mixed) + x
    x = np.stack([norm(weights, first, row, 1e-12) for row in x])
    x = np.stack([linear(weights, outer, gelu(linear(weights, inner, row))) + row for row in x])
    return np.stack([norm(weights, last, row, 1e-12) for row in x])


BERT_NAMES = (
    *(f"attention.self.{name}" for name in ("query", "key", "value")),
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
DISTIL_NAMES = (
    *(f"attention.{name}_lin" for name in ("q", "k", "v", "out")),
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
)


def embedded(weights: Weights, ids: list[int], *, types: bool) -> Array:
    rows = []
    for place, token in enumerate(ids):
        row = weights["embeddings.word_embeddings.weight"][token]
        row = row + weights["embeddings.position_embeddings.weight"][place]
        if types:
            row = row + weights["embeddings.token_type_embeddings.weight"][0]
        rows.append(norm(weights, "embeddings.LayerNorm", row, 1e-12))
    return np.stack(rows)


@pytest.mark.parametrize(
    ("make", "stem", "names"),
    [
        (lambda: Bert(SMALL), "encoder.layer", BERT_NAMES),
        (lambda: DistilBert(SMALL), "transformer.layer", DISTIL_NAMES),
    ],
    ids=["bert", "distilbert"],
)
@torch.no_grad()
def test_text_towers_follow_the_formula(make: Callable[[], nn.Module], stem: str, names: tuple[str, ...]) -> None:
    tower = make()
    weights = randomised(tower)
    ids = [[2, 7, 19, 3, 0, 0], [2, 8, 9, 10, 11, 3], [2, 3, 0, 0, 0, 0]]
    got = tower(torch.tensor(ids))
    for row, result in zip(ids, got, strict=True):
        x = embedded(weights, row, types="encoder" in stem)
        for number in range(SMALL.layers):
            x = post_ln(weights, f"{stem}.{number}", names, x, 3, np.array(row) != 0)
        np.testing.assert_allclose(result.numpy(), x, rtol=1e-9, atol=1e-11)
        # A shorter row without the padding, by itself, gives the same.
        real = sum(token != 0 for token in row)
        alone = tower(torch.tensor([row[:real]]))[0]
        torch.testing.assert_close(alone, result[:real], rtol=1e-9, atol=1e-11)


@torch.no_grad()
def test_the_pooler_is_a_tanh_of_the_first_token() -> None:
    tower = Bert(SMALL, pooler=True)
    weights = randomised(tower)
    hidden = torch.randn(2, 5, 48, dtype=torch.float64)
    want = np.tanh(np.stack([linear(weights, "pooler.dense", row[0]) for row in hidden.numpy()]))
    np.testing.assert_allclose(tower.pool(hidden).numpy(), want)


@torch.no_grad()
def test_layers_take_any_mask_and_any_width_of_heads() -> None:
    layers = Layers(32, 1, heads=2, inside=24)
    weights = randomised(layers)
    x = torch.randn(1, 5, 32, dtype=torch.float64)
    counts = torch.tensor([[True, False, True, False, True]])
    want = post_ln(weights, "layer.0", BERT_NAMES, x[0].numpy(), 2, counts[0].numpy())
    np.testing.assert_allclose(layers(x, key_bias(counts, x.dtype))[0].numpy(), want, rtol=1e-9, atol=1e-11)
    with pytest.raises(ValueError, match="5 heads don't divide the width 32"):
        Layers(32, 1, heads=5)


def test_sizes_are_read_off_the_weights() -> None:
    for tower, distilled, types in ((Bert(SMALL), False, 2), (DistilBert(SMALL), True, 0)):
        named = {f"text.{key}": value for key, value in tower.state_dict().items()}
        found = Checkpoint(named, "some system", "it is said so")
        assert bert_sizes(found, "text.", distilled=distilled) == BertConfig(48, 2, 80, 30, 12, types)
        # Paddle's matrices lie the other way around.
        turned = {key: value.T if value.dim() == 2 and "layer." in key else value for key, value in named.items()}
        read = bert_sizes(Checkpoint(turned, "", ""), "text.", distilled=distilled, paddles=True)
        assert read == BertConfig(48, 2, 80, 30, 12, types)


def test_published_sizes_have_the_published_tensors() -> None:
    with torch.device("meta"):
        bert, distil = Bert(BertConfig(), pooler=True), DistilBert(BertConfig(layers=6))
    assert len(bert.state_dict()) == 199
    assert sum(value.numel() for value in bert.state_dict().values()) == 109_482_240
    assert len(distil.state_dict()) == 100
    assert sum(value.numel() for value in distil.state_dict().values()) == 66_362_880


@torch.no_grad()
def test_vision_blocks_follow_the_formula() -> None:
    block = VitBlock(32, heads=2)
    weights = randomised(block)
    clip = torch.randn(2, 4, 32, dtype=torch.float64)
    for x, got in zip(clip.numpy(), block(clip), strict=True):
        normed = np.stack([norm(weights, "norm1", row, 1e-6) for row in x])
        mixed = attention(*np.split(linear(weights, "attn.qkv", normed), 3, axis=1), 2, np.ones(4))
        x = x + linear(weights, "attn.proj", mixed)
        inner = [linear(weights, "mlp.fc1", norm(weights, "norm2", row, 1e-6)) for row in x]
        x = x + np.stack([linear(weights, "mlp.fc2", gelu(row)) for row in inner])
        np.testing.assert_allclose(got.numpy(), x, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("frames", [2, 3, 5])
@torch.no_grad()
def test_patches_get_their_places_in_space_and_time(frames: int) -> None:
    tower = VitBase(16, patch=4, image_size=8, moments=3)
    weights = randomised(tower)
    clip = torch.randn(1, frames, 3, 8, 8, dtype=torch.float64)
    token, patches = tower.place(clip)
    np.testing.assert_allclose(token[0, 0], weights["cls_token"][0, 0] + weights["pos_embed"][0, 0])
    for frame in range(frames):
        for place, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
            square = clip[0, frame, :, row : row + 4, column : column + 4].numpy()
            want = np.einsum("wchx,chx->w", weights["patch_embed.proj.weight"], square)
            want = want + weights["patch_embed.proj.bias"] + weights["pos_embed"][0, 1 + place]
            if frame < 3:
                want = want + weights["temporal_embed"][0, frame]
            np.testing.assert_allclose(patches[0, frame, place], want)
