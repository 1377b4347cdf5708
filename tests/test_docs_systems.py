"""The pages of docs/systems: their commands parse, and their numbers are those of the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from framesift.export.bundle.errors import CheckpointError
from framesift.export.commands import SYSTEMS, export_command
from framesift.export.encoders.clip import VIT_B_32
from framesift.export.encoders.prompted import PromptConfig
from framesift.export.encoders.temporal import Temporal
from framesift.export.systems import clip4clip, dgl, dong2026, stan, ts2net, xclip, xpool
from framesift.export.systems.clip4clip_base import Clip4ClipConfig
from framesift.export.systems.contract import System
from framesift.export.systems.recognise import recognise, settled

DOCS = Path(__file__).parents[1] / "docs" / "systems"
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "README")
HEADINGS = ["The model", "Export", "Read and assumed", "Record", "Cost of a pair", "What differs"]
# ViT-B/32 with two blocks a tower and nine tokens: records and scores depend on neither.
CLIP = replace(VIT_B_32, vision_layers=2, text_layers=2, vocab_size=9)


def attention(made: type[dong2026.Dong2026], frames: int, top_k: int, temporal: Temporal) -> System:
    return made(dong2026.Dong2026Config(frames, top_k, temporal=temporal, clip=CLIP))


def prompted(prompts: PromptConfig, words: int) -> System:
    return dgl.Dgl(dgl.DglConfig(words, prompts=prompts, clip=CLIP))


# What a page is about, by --system and what tells the models of one system apart; of F frames and W positions.
MODELS: dict[tuple[str, str], Callable[[int, int], System]] = {
    ("dong2026", "positional"): lambda f, w: attention(dong2026.Dong2026, f, 4, "positional"),
    ("dong2026", "none"): lambda f, w: attention(dong2026.Dong2026, f, 4, "none"),
    ("xpool", ""): lambda f, w: attention(xpool.XPool, f, f, "none"),
    ("clip4clip", "meanP"): lambda f, w: clip4clip.Clip4Clip(Clip4ClipConfig(f, w, clip=CLIP)),
    ("clip4clip", "tight"): lambda f, w: clip4clip.Clip4ClipTight(Clip4ClipConfig(f, w, "tightTransf", clip=CLIP)),
    ("xclip", ""): lambda f, w: xclip.XClip(Clip4ClipConfig(f, w, "seqTransf", clip=CLIP)),
    ("ts2net", ""): lambda f, w: ts2net.Ts2Net(ts2net.Ts2NetConfig(f, w, "seqTransf", clip=CLIP, shift_layers=(1,))),
    ("dgl", "transformer"): lambda f, w: prompted(PromptConfig("transformer", f, 2, 8, 4), w),
    ("dgl", "linear"): lambda f, w: prompted(PromptConfig("linear", f, 2, 8, 4), w),
    ("stan", ""): lambda f, w: stan.Stan(stan.StanConfig(f, w, 1, head="stan", clip=CLIP)),
    ("mugstan", ""): lambda f, w: stan.MugStan(stan.StanConfig(f, w, 1, clip=CLIP)),
}


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def keys(page: str) -> list[tuple[str, str]]:
    return [key for key in MODELS if key[0] == page or (page, key[0]) == ("stan", "mugstan")]


@cache
def model(key: tuple[str, str], frames: int, words: int) -> System:
    with torch.device("meta"):
        return MODELS[key](frames, words)


def tables(page: str, first: str) -> list[list[list[str]]]:
    """The rows of every table whose first column is called so; numbers without commas, names without backticks."""
    found = re.findall(rf"^\| {first} \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", read(page), re.MULTILINE)
    lines = [[line.strip("|").split("|") for line in rows.splitlines()] for rows in found]
    return [[[re.sub(r"[`,]", "", cell).strip() for cell in row] for row in rows] for rows in lines]


def stored(system: System) -> list[list[str]]:
    """The rows that the record's table must have."""
    sizes = [prod(t.dims) * np.dtype(t.stored).itemsize for t in system.video_record]
    rows = [[t.name, " x ".join(map(str, t.dims)), t.stored] for t in system.video_record]
    return [*([*row, str(size)] for row, size in zip(rows, sizes, strict=True)), ["total", "", "", str(sum(sizes))]]


def operations(system: System) -> int:
    """Of the matrix products that score one pair."""
    sides = (system.text_record, system.video_record)
    text, video = ([torch.empty(1, *t.dims, device="meta") for t in side if t.scored] for side in sides)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        system.score(text, video)
    return int(counter.get_total_flops())


def accepts(system: System, options: dict[str, Any], name: str) -> bool:
    """Whether a checkpoint of the model can be exported with these options."""
    try:
        return bool(settled(system.state_dict(), options, name))
    except CheckpointError:
        return False


def test_every_system_has_a_page_with_the_same_headings() -> None:
    assert {key[0] for key in MODELS} == set(SYSTEMS) - {"auto"}
    assert set(PAGES) == set(SYSTEMS) - {"auto", "mugstan"}
    assert all(re.findall(r"^## (.+)", read(page), re.MULTILINE) == HEADINGS for page in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse_and_their_options_exist(page: str) -> None:
    lines = re.findall(r"^\$ framesift export (.+)", read(page), re.MULTILINE)
    assert lines
    for line in lines:
        given = export_command.make_context("export", shlex.split(line)).params
        options = {name: given[name] for name in ("frames", "max_tokens", "top_k", "heads") if given[name] is not None}
        options |= given["settings"]
        assert any(accepts(model(key, 12, 32), options, given["system"]) for key in keys(page)), line


@pytest.mark.parametrize("page", PAGES)
def test_assumed_options_are_all_listed_with_their_defaults(page: str) -> None:
    assumed = [recognise(model(key, 12, 32).state_dict(), key[0]).assumed for key in keys(page)]
    listed = {row[0]: row[1] for row in tables(page, "option")[0]}
    assert set(listed) == {name for options in assumed for name in options}
    assert all(value in {str(options.get(name)) for options in assumed} for name, value in listed.items())
    assert set(re.findall(r"--set (\w+)=", read(page))) <= set(listed)


@pytest.mark.parametrize("page", PAGES)
def test_records_bytes_and_operations(page: str) -> None:
    # Sizes are those of the first row of the costs, and of MSR-VTT for Mug-STAN, whose authors tested with more frames.
    costs = tables(page, "scored by")[0]
    frames = 32 if page == "stan" else 12
    records = [stored(model(key, frames, 32)) for key in keys(page)]
    assert [rows for n, rows in enumerate(records) if rows not in records[:n]] == tables(page, "tensor")
    for scorer, f, w, size, formula, count in costs:
        system = next(s for key in keys(page) if (s := model(key, int(f), int(w))).scorer.name == scorer)
        sizes = {"F": int(f), "W": int(w), "D": 512, "L": 4}
        assert eval(formula, {}, sizes) == int(count) == operations(system)
        assert size == stored(system)[-1][-1]
        assert all(f"`{t.name}`" in read(page) for t in system.text_record)
    systems = {key[0] for key in keys(page)}
    overview = [row[1:5] for row in tables("README", "page")[0] if row[1] in systems]
    assert {row[0] for row in overview} == systems
    assert all(row[1:] in [[cost[0], cost[3], cost[5]] for cost in costs] for row in overview)
