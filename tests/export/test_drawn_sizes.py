"""Sizes that are drawn at random, of every system with towers of its own: all are read off the weights."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from framesift.export.checkpoint import normalised
from framesift.export.encoders.bert import BertConfig
from framesift.export.encoders.clip import ClipConfig
from framesift.export.encoders.resnet import Stage
from framesift.export.encoders.space_time import VitConfig
from framesift.export.encoders.unified import AllInOneSizes
from framesift.export.encoders.video_swin import SwinConfig
from framesift.export.graphs import random_video_inputs
from framesift.export.systems.actbert import ActBertSizes
from framesift.export.systems.clipbert import ClipBertSizes
from framesift.export.systems.clover import CloverConfig
from framesift.export.systems.frozen import FrozenConfig
from framesift.export.systems.howto100m import HowTo100mSizes
from framesift.export.systems.inspection import inspect
from framesift.export.systems.mmt import EXPERTS, MmtSizes
from framesift.export.systems.registry import card_of
from framesift.export.systems.table import TableSizes

# A run at full length sets it to some hundred.
DRAWS = int(os.environ.get("FRAMESIFT_DRAWS", "3"))
# Sizes, options that the weights don't show, and those that they do.
Drawn = tuple[Any, dict[str, Any], dict[str, Any]]


def bert(r: random.Random, types: int = 2, least: int = 1) -> tuple[BertConfig, int]:
    """Sizes without heads, which no weights show, and the heads."""
    heads = r.randint(1, 4)
    width = heads * r.choice([8, 12, 20])
    layers, inside, positions = r.randint(least, least + 2), r.choice([24, 100]), r.choice([21, 40, 77])
    return BertConfig(width, layers, inside, r.choice([80, 301]), positions, types), heads


def frozen(r: random.Random, divided: bool = True) -> Drawn:
    distilled, heads, patch, moments = r.random() < 0.6, r.randint(1, 3), r.choice([4, 7, 14]), r.choice([1, 3, 8])
    text, text_heads = bert(r, 0 if distilled else 2)
    side, inside = patch * r.randint(1, 4), r.choice([32, 96])
    vision = VitConfig(heads * r.choice([16, 24]), r.randint(1, 3), patch, side, moments, inside, divided)
    sizes = FrozenConfig(text, vision, r.choice([8, 33]), distilled, r.choice(["minimal", "linear"]))
    lengths = {"frames": r.choice([1, 2, 3, 6]), "max_tokens": r.randint(3, text.positions)}
    shown = {"moments": moments, "attention": "divided" if divided else "joint"}
    return sizes, {**lengths, "vision_heads": heads, "text_heads": text_heads}, shown


def all_in_one(r: random.Random) -> Drawn:
    heads, patch = r.randint(1, 3), r.choice([4, 7])
    trained = r.choice([("vtc",), ("irtr",), ("vtc", "irtr"), ("itm",), ("vtc", "itm")])
    width, side = heads * r.choice([16, 24]), patch * r.randint(3, 5)
    sizes = AllInOneSizes(width, r.randint(1, 3), 40, 80, r.choice([12, 40]), patch, side, r.choice([1, 3]), 24)
    options = {"frames": r.choice([1, 3, 5]), "max_tokens": r.randint(3, sizes.positions), "heads": heads}
    return sizes, options, {"trained": trained}


def clipbert(r: random.Random) -> Drawn:
    text, heads = bert(r)
    stages = tuple(Stage(r.randint(1, 2), 4 << place, 16 << place) for place in range(4))
    sizes = ClipBertSizes(r.choice([4, 6]), stages, text, r.choice([4, 100]), r.choice([16, 33]), r.choice([1, 2]))
    clips = {"clips": r.choice([1, 3]), "clip_frames": r.choice([1, 2]), "pooling": r.choice(["lse", "mean", "max"])}
    lengths = {"image_size": r.choice([64, 100, 130, 192]), "max_tokens": r.randint(3, text.positions)}
    return sizes, {**clips, **lengths, "heads": heads}, {}


def actbert(r: random.Random) -> Drawn:
    text, heads = bert(r, least=2)
    wide, narrow, both, count = r.randint(1, 3), r.randint(1, 2), r.choice([1, 2, 4]), r.randint(1, 2)
    regions = r.choice([24, 40]), 16 * wide, 32, count + r.randint(0, 1)
    actions = r.choice([16, 24]), 20 * narrow, 48, count + r.randint(0, 2)
    sizes = ActBertSizes(text, *regions, *actions, count, both * r.choice([8, 16]))
    lengths = {"max_tokens": r.randint(3, 21), "regions": r.randint(2, 9), "actions": r.randint(1, 5)}
    each = {"region_heads": wide, "heads": heads, "action_heads": narrow, "connection_heads": both}
    return sizes, {**lengths, **each}, {}


def clover(r: random.Random) -> Drawn:
    text, heads = bert(r)
    stages, side, patch = r.choice([2, 3, 4]), r.choice([1, 2, 3]), r.choice([(2, 4, 4), (1, 4, 4), (2, 2, 2)])
    window, counts = (r.choice([1, 2, 4]), side, side), [r.choice([1, 2, 4]) for _ in range(stages)]
    depths = tuple(r.randint(1, 2) for _ in range(stages))
    vision = SwinConfig(r.choice([8, 12, 16]), depths, tuple(counts), window, patch, r.choice([2, 4]))
    lengths = {"frames": patch[0] * r.choice([1, 3, 5]), "image_size": patch[1] * r.choice([8, 9, 12])}
    sizes = CloverConfig(text, vision, r.choice([20, 48]), r.choice([24, 40]), r.choice([28, 50]))
    return sizes, {**lengths, "max_tokens": r.randint(3, text.positions), "text_heads": heads}, {"window": window}


def mmt(r: random.Random) -> Drawn:
    text, text_heads = bert(r)
    heads, names = r.randint(1, 3), r.sample(sorted(EXPERTS), r.randint(1, 5))
    dims = {name: r.choice([8, 20, 33]) for name in names}
    sizes = MmtSizes(dims, heads * r.choice([16, 24]), r.randint(1, 3), 40, r.choice([8, 32]), 19, text)
    lengths = {"rows": r.choice([1, 4, 9]), "max_tokens": r.randint(3, text.positions)}
    kept = {"keep_missing_modalities": r.random() < 0.6}
    return sizes, {**lengths, **kept, "video_heads": heads, "text_heads": text_heads}, {}


def howto100m(r: random.Random) -> Drawn:
    sizes = HowTo100mSizes(r.choice([24, 96]), r.choice([24, 80]), r.choice([30, 64]), r.choice([10, 30]), 20)
    return sizes, {"max_tokens": r.randint(1, 30), "width_2d": r.randint(1, 29)}, {}


def table(r: random.Random) -> Drawn:
    heads, text_heads, patch = r.randint(1, 3), r.randint(1, 2), r.choice([4, 7, 8])
    tower = 16 * heads, r.randint(1, 3), 20 * text_heads, r.randint(1, 3), r.choice([514, 600]), r.choice([20, 77])
    clip = ClipConfig(r.choice([16, 64]), patch * r.randint(2, 5), patch, *tower)
    tagger = r.choice([None, (64, 1), (128, 2)])
    sizes = TableSizes(clip, r.choice([1, 3, 5]), r.randint(1, 3), tagger)
    lengths = {"max_tokens": r.randint(3, 20), "tags": r.randint(1, 6), "tag_tokens": r.randint(3, 12)}
    each = {"heads": r.randint(1, 2), "vision_heads": heads, "text_heads": text_heads}
    return sizes, {**lengths, **each}, {"frames": sizes.frames, "layers": sizes.layers, "tagger": tagger is not None}


DRAW: Mapping[str, Callable[[random.Random], Drawn]] = {
    "frozen": frozen,
    "mac": lambda r: frozen(r, divided=False),
    "all_in_one": all_in_one,
    "clipbert": clipbert,
    "actbert": actbert,
    "clover": clover,
    "mmt": mmt,
    "howto100m": howto100m,
    "table": table,
}


@pytest.mark.parametrize("draw", range(DRAWS))
@pytest.mark.parametrize("system", DRAW)
@torch.no_grad()
def test_every_size_is_read_off_the_weights(system: str, draw: int) -> None:
    sizes, options, shown = DRAW[system](random.Random(f"{system} {draw}"))
    card, generator = card_of(system), torch.Generator().manual_seed(draw)
    torch.manual_seed(draw)
    made = card.model(sizes, {**options, **shown}).eval()
    for name, parameter in made.named_parameters():
        if parameter.dim() < 3 and "norm" not in name.lower() and "ln_" not in name:
            nn.init.normal_(parameter, std=0.15)
    inspection = inspect(normalised(made.state_dict()))
    assert inspection.card is card
    again = inspection.resolve(options).build()
    assert again.state_dict().keys() == made.state_dict().keys()
    video = list(random_video_inputs(made, 3, generator))
    ids = made.random_token_ids(4, made.max_tokens, generator)
    want, got = (model.score(model.encode_text(ids), model.encode_video(*video)) for model in (made, again))
    assert want.isfinite().all()
    assert torch.equal(got, want)
