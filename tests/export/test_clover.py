"""Clover: its authors' files, other variants, and a Video Swin's windows by their definition."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from framesift.export.build import build_bundle, resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import load, normalised
from framesift.export.encoders.swin_windows import Axes, Windows, relative_index, table_rows, window_of
from framesift.export.encoders.video_swin import Merging, SwinConfig, VideoSwin
from framesift.export.graphs import graphs, ports, random_video_inputs
from framesift.export.onnx import write_graph
from framesift.export.systems.bert import SMALL_BERT
from framesift.export.systems.clover import CLOVER, CloverConfig, unit_or_zero
from framesift.export.systems.examples import small_system
from framesift.export.systems.inspection import inspect

from ..small_systems import given_options


def test_a_file_of_mmcvs_loads_without_what_retrieval_does_not_read(tmp_path: Path) -> None:
    made = small_system("clover")
    state = OrderedDict(made.state_dict())
    state["multimodal_backbone.bert_encoder.layer.0.attention.self.query.weight"] = torch.ones(4, 4)
    state["multimodal_backbone.all_cls_token"] = torch.ones(1, 1, 4)
    state["text_backbone.bert.pooler.dense.weight"] = torch.ones(32, 32)
    state["text_backbone.bert.embeddings.position_ids"] = torch.arange(40)[None]
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    meta = {"epoch": 40, "iter": 1200, "mmaction_version": "0.15.0", "config": "model = dict(type='CloverFinetune')"}
    torch.save({"meta": meta, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}, tmp_path / "a.pth")
    resolved = resolve(load(tmp_path / "a.pth"), given_options("clover"))
    assert resolved.inspection.card.name == "clover"
    assert resolved.options["window"] == (2, 3, 3)
    assert {key.partition(".")[0] for key in resolved.inspection.unused} == {"multimodal_backbone", "text_backbone"}
    again = resolved.build()
    assert again.state_dict().keys() == made.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"backbone.layers.1.blocks.1.attn.relative_position_index": torch.zeros(18, 18, dtype=torch.long)},
            r"layers.1.blocks.1.attn.relative_position_index is not that of its windows",
        ),
        (
            {"backbone.layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(76, 1)},
            "no square window has 18 tokens and a table of 76 rows",
        ),
        ({"backbone.layers.0.downsample.norm.bias": None}, r"missing: backbone.layers.0.downsample.norm.bias \[48\]"),
        ({"backbone.patch_embed.proj.weight": torch.ones(12, 3, 4, 4)}, "which should have 5 dimensions"),
        ({"text_backbone.bert.embeddings.token_type_embeddings.weight": None}, "it has no text_backbone.bert.embed"),
        ({"head.weight": torch.ones(2)}, r"unexpected: head.weight \[2\]"),
    ],
)
def test_misfits_are_refused_with_what_was_recognised(change: dict[str, Any], said: str) -> None:
    made = small_system("clover").state_dict()
    state = {key: value for key, value in {**made, **change}.items() if value is not None}
    with pytest.raises(CheckpointError, match=rf"(?s)recognised as clover \(it has Clover's.*{said}"):
        inspect(normalised(state)).resolve(given_options("clover")).build()


def test_a_model_without_its_vocabulary_says_what_to_bring(tmp_path: Path) -> None:
    torch.save(small_system("clover").state_dict(), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"recognised as clover \(.*makes 30522: put the vocab.txt"):
        build_bundle(tmp_path / "model.pth", tmp_path / "bundle", options={"frames": 4, "image_size": 40})


def test_a_vector_of_zeros_stays_one() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert unit_or_zero(x).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


@pytest.mark.parametrize("window", [(8, 7, 7), (2, 3, 3), (5, 3, 3), (1, 8, 8), (3, 2, 2)])
def test_a_window_follows_from_its_tokens_and_its_table(window: Axes) -> None:
    assert window_of(window[0] * window[1] * window[2], table_rows(window)) == window
    index = relative_index(window)
    assert (int(index.min()), int(index.max())) == (0, table_rows(window) - 1)
    # Two pairs of tokens have one row where, and only where, they lie to each other alike.
    places = list(product(*map(range, window)))
    rows: dict[int, tuple[int, ...]] = {}
    for (a, first), (b, second) in product(list(enumerate(places))[:30], enumerate(places)):
        apart = tuple(x - y for x, y in zip(first, second, strict=True))
        assert rows.setdefault(int(index[a, b]), apart) == apart


@pytest.mark.parametrize(
    ("grid", "window"),
    [
        ((4, 6, 6), (2, 3, 3)),
        ((3, 7, 5), (2, 3, 3)),
        ((2, 6, 5), (4, 3, 3)),
        ((5, 3, 2), (2, 3, 3)),
        ((2, 2, 2), (4, 3, 3)),
    ],
)
@pytest.mark.parametrize("shifted", [False, True])
def test_tokens_see_their_neighbours_and_not_the_other_end(grid: Axes, window: Axes, shifted: bool) -> None:
    made = Windows.over(grid, window, shifted=shifted)
    places = torch.tensor(list(product(*map(range, grid)))).view(1, *grid, 3) + 1
    split, regions = made.split(places), made.regions()
    assert torch.equal(made.join(split), places)
    assert (regions is not None) == any(made.shift)
    sizes, shifts, padded = torch.tensor(made.size), torch.tensor(made.shift), torch.tensor(made.padded)
    # Zeros fill the grid up; every other token knows where it came from.
    for number, tokens in enumerate(split[0]):
        for a, b in product(range(len(tokens)), repeat=2):
            if not (tokens[a].any() and tokens[b].any()):
                continue
            first, second = tokens[a] - 1, tokens[b] - 1
            moved = [(place - shifts) % padded for place in (first, second)]
            assert torch.equal(moved[0] // sizes, moved[1] // sizes)
            wrapped = [(place - shifts) < 0 for place in (first, second)]
            together = regions is None or bool(regions[number, a] == regions[number, b])
            # A shift brings both ends of an axis together, and they are told apart again.
            assert together == torch.equal(*wrapped)


@torch.no_grad()
def test_four_neighbours_are_merged_column_by_column() -> None:
    merging = Merging(1)
    merging.norm = torch.nn.Identity()  # type: ignore[assignment]
    merging.reduction = torch.nn.Identity()  # type: ignore[assignment]
    x = torch.arange(1.0, 10).view(1, 1, 3, 3, 1)
    assert merging(x).view(4, 4).tolist() == [[1, 4, 2, 5], [3, 6, 0, 0], [7, 0, 8, 0], [9, 0, 0, 0]]


@torch.no_grad()
def test_attention_is_that_of_all_tokens_with_those_of_other_windows_left_out() -> None:
    """One shifted block over the whole grid at once, every pair of tokens by the definition."""
    torch.manual_seed(4)
    window: Axes = (2, 3, 3)
    tower: Any = VideoSwin(SwinConfig(8, (2,), (2,), window), 8, 24).double()
    block, shifted, grid = tower.layers[0].blocks[1], tower.windows[0][1], (4, 6, 6)
    table = torch.nn.init.normal_(block.attn.relative_position_bias_table)
    x = torch.randn(1, *grid, 8, dtype=torch.float64)
    index, regions = tower.index_18, tower.regions_0
    got = shifted.join(block.attn(shifted.split(x), index, regions)).flatten(1, 3)[0]
    places = torch.tensor(list(product(*map(range, grid))))
    home = (places - torch.tensor(shifted.shift)).div(torch.tensor(window), rounding_mode="floor")
    seen = (home[:, None] == home[None]).all(-1)
    q, k, v = block.attn.qkv(x.flatten(1, 3)[0]).chunk(3, -1)
    mixed = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        logits = q[:, part] @ k[:, part].T / 2
        t, h, w = (places[:, None] - places[None] + torch.tensor(window) - 1).unbind(-1)
        logits = torch.where(seen, logits + table[((t * 5 + h) * 5 + w).where(seen, 0), head], logits)
        mixed.append(logits.masked_fill(~seen, -torch.inf).softmax(-1) @ v[:, part])
    want = block.attn.proj(torch.cat(mixed, -1))
    # The authors' -100 is not minus infinity.
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_graph_keeps_one_index_of_biases(tmp_path: Path) -> None:
    """With the published windows: what is small enough is written out by the exporter, and does no harm."""
    sizes = CloverConfig(SMALL_BERT, SwinConfig(8, (2, 2), (1, 2)), inside=20, embed_dim=24)
    made: Any = CLOVER.model(sizes, {"image_size": 112, "frames": 32, "max_tokens": 20})
    example = random_video_inputs(made, 2, torch.Generator().manual_seed(0))
    path = tmp_path / "video_encoder.onnx"
    write_graph(graphs(made)["video_encoder"], example, ports(made)["video_encoder"], path)
    kept = [math.prod(one.dims) for one in onnx.load(str(path)).graph.initializer]
    assert kept.count(392 * 392) == 1
    # With the biases of a single head written out it would be twice as much.
    weights = sum(value.numel() for value in made.backbone.parameters())
    assert path.stat().st_size < 4 * weights + 8 * 392 * 392 + 800_000
