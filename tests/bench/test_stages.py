"""Stages: every engine agrees with eager float64, what doesn't is refused, and rows say what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.bench.inputs.queries import captions
from framesift.bench.schema.files import newest
from framesift.bench.schema.kinds import STAGES
from framesift.bench.stages.case import OURS, SCORING, Case, Spec, specs
from framesift.bench.stages.cases import Stages
from framesift.bench.stages.commands import stages_command
from framesift.bench.stages.timing import measure, rows_of
from framesift.export.bundle.store import Bundle

GALLERY = 50


@pytest.fixture(scope="module")
def made(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    # Compiling takes minutes.
    return Stages(bundle, captions(100), tmp_path_factory.mktemp("stages"), lambda name: "compile" not in name)


@pytest.mark.parametrize("spec", specs([GALLERY]), ids=str)
def test_every_engine_agrees_with_float64(spec: Spec, made: Stages) -> None:
    case = made.case(spec)
    assert case is not None
    assert case.baseline in case.engines
    assert {name: fault for name, run in case.engines.items() if (fault := case.fault(run()))} == {}


@pytest.mark.parametrize("stage", ["text tower", *SCORING])
def test_a_wrong_output_is_told(stage: str, made: Stages) -> None:
    case = made.case(Spec(stage, 8, GALLERY if stage in SCORING else None))
    assert case is not None
    right = case.engines["torch eager"]()
    if stage == "score":
        wrong = np.where(np.arange(GALLERY) == 3, right + 0.01, right)
    elif stage == "text tower":
        wrong = [x * 1.001 for x in right]
    else:
        wrong = (right[0], np.roll(right[1], 1, axis=1))
    assert re.search(r"\de-0\d", case.fault(wrong) or "")


def test_a_refused_engine_is_not_timed() -> None:
    calls = {"right": 0, "wrong": 0}

    def engine(name: str, value: int) -> int:
        calls[name] += 1
        return value

    case = Case(
        Spec("score", 2, 10),
        {"right": lambda: engine("right", 1), "wrong": lambda: engine("wrong", 2)},
        lambda found: None if found == 1 else f"{found} is not 1",
        baseline="right",
    )
    timed = measure(case, 0.0, least=3)
    assert timed.refused == {"wrong": "2 is not 1"}
    assert calls == {"right": 4, "wrong": 1}
    (row,) = rows_of(timed, "demo")
    assert (row.engine, row.rounds, row.times_faster, row.videos) == ("right", 3, 1.0, 10)
    assert row.per_item_ms == pytest.approx(row.p50_ms / 2, abs=1e-5)
    assert row.p20_ms <= row.p50_ms <= row.p80_ms


def test_the_exit_status_tells_of_a_refusal(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [str(bundle.root), "--cases", "^tokenise, batch 1$", "--seconds", "0", "--work", str(tmp_path)]
    arguments += ["--results", str(tmp_path / "results")]
    samples = tmp_path / "samples.json"
    result = CliRunner().invoke(stages_command, [*arguments, "--samples", str(samples)])
    assert result.exit_code == 0, result.output
    assert f"tokenise, batch 1: {OURS}" in samples.read_text()
    assert [(row.stage, row.engine) for row in newest(STAGES, tmp_path / "results")] == [("tokenise", OURS)]
    monkeypatch.setattr(Stages, "case", lambda self, spec: Case(spec, {OURS: lambda: 0}, lambda _: "other ids", OURS))
    result = CliRunner().invoke(stages_command, arguments)
    assert result.exit_code == 1
    assert "REFUSED, not timed: other ids" in result.output
