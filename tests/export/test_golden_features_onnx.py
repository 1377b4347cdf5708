"""Exported graphs of systems whose videos come as features, against what their authors' code made of raw arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framesift.export.bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.onnx import write_graphs

from ..exporting import read_library_once
from .golden_cases import CASES, Case
from .golden_cross import actbert_graph_inputs
from .golden_features import howto100m_graph_inputs, mmt_graph_inputs
from .test_golden_onnx import SCORES, run

INPUTS: dict[str, Callable[[Case], tuple[Tensor, list[Tensor]]]] = {
    "howto100m": howto100m_graph_inputs,
    "mmt": mmt_graph_inputs,
    "actbert": actbert_graph_inputs,
}
FOUND: list[Any] = [
    pytest.param(*case.values, id=case.id, marks=[pytest.mark.slow] * (case.values[0] != "howto100m"))
    for case in CASES
    if case.values[0] in INPUTS
]


@pytest.mark.parametrize(("name", "meta"), FOUND)
@torch.no_grad()
def test_graphs_give_the_authors_scores_and_ranking(name: str, meta: Path, tmp_path: Path) -> None:
    case = Case(name, meta)
    ids, features = INPUTS[name](case)
    read_library_once()
    write_graphs(case.model.float(), tmp_path)
    text = run(tmp_path, TEXT_ENCODER, [ids])
    video = run(tmp_path, VIDEO_ENCODER, [tensor.float() for tensor in features])
    want = case[next(f"out.{key}" for key in SCORES if f"out.{key}" in case.tensors)]
    scores = run(tmp_path, SCORER, [*text, *video])[0]
    assert (scores - want).abs().max() <= 1e-4 * want.abs().max()
    assert torch.equal(scores.argsort(1, descending=True), want.argsort(1, descending=True))
