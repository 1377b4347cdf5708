"""The authors' own numbers, from their own code, for the same matrices."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from framesift.export.evaluation.postprocess import dual_softmax, querybank_norm
from framesift.export.evaluation.rules import RULES, Measurement
from framesift.export.evaluation.scores import ScoreMatrix

COMMITTED = Path(__file__).parents[2] / "golden"
FOLDERS = [COMMITTED, *([Path(os.environ["FRAMESIFT_GOLDEN"])] if "FRAMESIFT_GOLDEN" in os.environ else [])]
CASES = [path for folder in FOLDERS for path in sorted((folder / "metrics").glob("*.meta.json"))]
# What the authors' code calls the columns.
NAMES = {"r1": ("R1",), "r5": ("R5",), "r10": ("R10",), "mdr": ("MedR", "MedianR", "MR"), "mnr": ("MeanR",)}


def read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    tensors = load_file(path.with_name(path.name.replace(".meta.json", ".safetensors")))
    return json.loads(path.read_text())["results"], tensors


def matrix_of(tensors: dict[str, np.ndarray]) -> ScoreMatrix:
    if "out.sims" in tensors:
        # [video of the captions, caption, video]; captions that fill a group up are NaN.
        real = ~np.isnan(tensors["out.sims"]).all(-1)
        return ScoreMatrix(tensors["out.sims"][real], np.nonzero(real)[0])
    counts = tensors["in.captions_per_video"]
    return ScoreMatrix(tensors["in.sim"], np.repeat(np.arange(len(counts)), counts))


def assert_equal(found: Measurement, want: dict[str, float]) -> None:
    compared = 0
    for field, names in NAMES.items():
        for name in names:
            if name in want:
                assert getattr(found, field) == pytest.approx(want[name], abs=1e-9, rel=0), name
                compared += 1
    assert compared >= 4


def results() -> list:
    found = []
    for path in CASES:
        wanted, tensors = read(path)
        if "in.test_test" not in tensors:
            found += [pytest.param(path, key, id=f"{path.name.partition('.')[0]}-{key}") for key in wanted]
    return found


@pytest.mark.parametrize(("path", "key"), results())
def test_every_rule_gives_its_authors_numbers(path: Path, key: str) -> None:
    wanted, tensors = read(path)
    matrix = matrix_of(tensors)
    system, _, direction = key.rpartition("_")
    if system == "ts2net_dsl":
        system, matrix = "clip4clip", matrix.map(dual_softmax(matrix.scores))
    if system == "clip4clip" and (matrix.captions_per_video > 1).any():
        system = "clip4clip-multi"
    if system == "xpool" and "ties" in path.name and not torch_sorts_like_the_golden(matrix, wanted[key], direction):
        pytest.skip("torch's sort orders equals differently on this processor")
    assert_equal(RULES[system].measure(matrix, direction), wanted[key])


def torch_sorts_like_the_golden(matrix: ScoreMatrix, wanted: dict[str, float], direction: str) -> bool:
    scores = torch.from_numpy(matrix.scores if direction == "t2v" else np.ascontiguousarray(matrix.scores.T))
    places = scores.argsort(dim=1, descending=True).argsort(dim=1).diagonal().double()
    return float(places.mean()) + 1 == pytest.approx(wanted["MeanR"])


@pytest.mark.parametrize("path", [p for p in CASES if "qbnorm" in p.name], ids=lambda p: p.name.partition(".")[0])
def test_querybank_norm_gives_its_authors_numbers(path: Path) -> None:
    wanted, tensors = read(path)
    scores, bank = tensors["in.test_test"], tensors["in.train_test"]
    normalised = querybank_norm(scores, bank)
    np.testing.assert_allclose(normalised, tensors["out.normalized"], rtol=2e-5, atol=1e-9)
    diagonal = np.arange(len(scores))
    for name, found in (("before", scores), ("after", normalised)):
        assert_equal(RULES["clip4clip"].measure(ScoreMatrix(found, diagonal), "t2v"), wanted[name])


def test_the_committed_cases_are_there() -> None:
    assert sum(path.is_relative_to(COMMITTED) for path in CASES) == 7
