"""The stages of ``framesift bench stages`` under pytest-benchmark: the demo model, what serves against eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framesift.bench.inputs.models import DEMO, bundle_of
from framesift.bench.inputs.queries import captions
from framesift.bench.stages.case import (
    DECODE,
    EAGER,
    NATIVE,
    ONNX,
    OURS,
    SCORE,
    SCORE_AND_TOP,
    TEXT_TOWER,
    TOKENISE,
    VIDEO_TOWER,
    Spec,
    specs,
)
from framesift.bench.stages.cases import Stages

ENGINES = {
    TOKENISE: (OURS,),
    TEXT_TOWER: (ONNX, EAGER),
    DECODE: (OURS,),
    VIDEO_TOWER: (ONNX, EAGER),
    SCORE: (NATIVE, EAGER),
    SCORE_AND_TOP: (NATIVE, EAGER),
}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    work: Path = tmp_path_factory.mktemp("stages")
    wanted = {name for names in ENGINES.values() for name in names}
    return Stages(bundle_of(DEMO, work), captions(2000), work, wanted.__contains__)


@pytest.mark.parametrize(
    ("spec", "engine"), [(spec, engine) for spec in specs([1_000]) for engine in ENGINES.get(spec.stage, ())], ids=str
)
def bench_stages(spec: Spec, engine: str, stages: Stages, benchmark: Any, compared: Callable[..., None]) -> None:
    case = stages.case(spec)
    assert case is not None
    if engine not in case.engines:
        pytest.skip(f"no {engine} for {spec} here")
    # Speed counts only if the result is right.
    assert case.fault(case.engines[engine]()) is None
    compared(benchmark, group=str(spec), case=engine, baseline=case.baseline)
    benchmark.pedantic(case.engines[engine], rounds=15, warmup_rounds=1)
