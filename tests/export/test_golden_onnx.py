"""The exported graphs in ONNX Runtime against outputs of the authors' own code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from framesift.export.bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.graphs import graphs, ports, with_pixels
from framesift.export.onnx import write_graph, write_graphs
from framesift.export.systems.contract import System

from ..exporting import read_library_once
from .golden_cases import CASES, FEATURES, Case, clip_features

pytestmark = pytest.mark.long

Records = tuple[Sequence[Tensor], Sequence[Tensor]]

# A case of a text that is read with every frame. The others run among the slow tests: every system's small model is
# exported and compared with eager float64 where it is served, and of every case test_golden_systems shows that the
# eager system is right.
QUICK = "all_in_one-all_in_one_both_small_dev"
USUAL = [
    pytest.param(*case.values, id=case.id, marks=[pytest.mark.slow] * (case.id.partition("-")[2] != QUICK))
    for case in CASES
    if case.values[0] not in FEATURES
]


# What cases call the scores by which a pair is ranked; where there are several, the first.
SCORES = ("scores", "score", "sims", "logits")


def run(folder: Path, name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
    session = ort.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    feeds = {port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs, strict=True)}
    return [torch.from_numpy(np.asarray(output)) for output in session.run(None, feeds)]


def video_inputs(system: System, case: Case) -> list[Tensor]:
    """The case's clips as pixels from 0 to 255, its masks and its noise."""
    black, white = (system.standardise(torch.full((3, 1, 1), value)).double() for value in (0, 255))
    pixels = (case["in.video"] - black) / (white - black) * 255
    # Where a case has no mask, what is missing has zeros for pixels.
    mask = case["in.video_mask"] if "in.video_mask" in case.tensors else torch.ones(pixels.shape[:2])
    more = {"mask": mask}
    if "in.noise" in case.tensors:
        more["noise"] = case["in.noise"].unflatten(0, pixels.shape[:2])
    return [pixels.float(), *(more[port.name].float() for port in system.video_inputs[1:])]


def at_length(system: System, ids: Tensor) -> Tensor:
    """Token ids with more padding, where a text has one length and the case another."""
    return functional.pad(ids, (0, system.max_tokens - ids.shape[1])) if system.fixed_length else ids


def head_records(system: Any, case: Case, name: str) -> Records:
    """Records in float64 of a case that holds the towers' outputs."""
    if name == "xpool":
        return system.reduce_text((case["in.text_embeds"],)), system.reduce_video((case["in.frame_embeds"],))
    if name == "clipbert":
        tokens = system.transformer.bert.visual_embeddings(case["in.grid"])
        # A case's grid need not be square.
        case.model.video_record = (replace(system.video_record[0], dims=tuple(tokens.shape[1:])),)
        return system.encode_text(at_length(system, case["in.input_ids"])), (tokens,)
    mask = case["in.video_mask"]
    if name == "ts2net":
        videos, frames = mask.shape
        tokens = case["in.visual_hidden"].unflatten(1, (frames, -1))
        noise = case["in.noise"].unflatten(0, (videos, frames))
        return system.finish_text(case["in.sequence_output"].squeeze(1)), system.pool(tokens, mask, noise)
    text, frames = clip_features(case, mask)
    if name == "xclip":
        return system.finish_text(text, case["in.seq_features"]), system.pool(frames, mask)
    return system.finish_text(text), system.pool(frames, mask)


@pytest.mark.parametrize(("name", "meta"), USUAL)
@torch.no_grad()
def test_graphs_give_the_authors_scores_and_ranking(name: str, meta: Path, tmp_path: Path) -> None:
    case = Case(name, meta)
    if not case.state:
        pytest.skip("the case holds no weights, so there is nothing to export")
    read_library_once()
    system: System = case.model
    want = case[next(f"out.{key}" for key in SCORES if f"out.{key}" in case.tensors)]
    if case.whole:
        with_pixels(system.float(), "float32")
        write_graphs(system, tmp_path)
        text: Sequence[Tensor] = run(tmp_path, TEXT_ENCODER, [at_length(system, case["in.input_ids"])])
        video: Sequence[Tensor] = run(tmp_path, VIDEO_ENCODER, video_inputs(system, case))
    else:
        text, video = head_records(system.double().folded(), case, name)
        text, video = [x.float() for x in text], [x.float() for x in video]
        promised = ports(system.float())[SCORER]
        sizes = {"queries": 3, "videos": 5}
        example = tuple(torch.rand([sizes.get(d, d) for d in p.dims]) for p in promised.inputs)  # type: ignore[call-overload, misc]
        write_graph(graphs(system)[SCORER], example, promised, tmp_path / f"{SCORER}.onnx")
    scored = [x for x, t in zip(text, system.text_record, strict=True) if t.scored]
    scored += [x for x, t in zip(video, system.video_record, strict=False) if t.scored]
    scores = run(tmp_path, SCORER, scored)[0]
    assert (scores - want).abs().max() <= 1e-4 * want.abs().max()
    assert torch.equal(scores.argsort(1, descending=True), want.argsort(1, descending=True))
