"""Towers in 8 bits against the same towers in float32, through ONNX Runtime on one thread.

CLIP ViT-B/32's towers with random weights, whose time does not depend on them, and the demo model's. Weights and
inputs of the blocks' products are 8 bits in ``int8, dynamic`` and ``int8, static`` alike; they differ in what measures
the range of an input, the graph at every call or the calibration. The float32 work that stays (attention, norms,
activations, residual sums) bounds the gain, and so does a processor without VNNI, which has no instruction for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from framesift.bench.inputs.models import DEMO, VIT_B32, system_of
from framesift.export.bundle.ports import FRAMES, TEXT_ENCODER, TOKEN_IDS, VIDEO_ENCODER

if TYPE_CHECKING:
    import onnxruntime as ort

FLOAT32 = "float32"
CASES = (FLOAT32, "int8, dynamic", "int8, static")
# Largest relative RMS of a tower's first output: speed counts only if the result is about the same.
TOLERANCE = 0.2

Sessions = dict[tuple[str, str], "ort.InferenceSession"]
Inputs = dict[str, list[dict[str, np.ndarray[Any, Any]]]]


@pytest.fixture(scope="module", params=[("ViT-B/32", VIT_B32), ("demo", DEMO)], ids=lambda param: param[0])
def towers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Sessions, Inputs]:
    """A model's name, the sessions of its towers in every case, and some inputs of each tower."""
    import torch

    from framesift.export.bundle.sessions import cpu_session
    from framesift.export.graphs import random_video_inputs
    from framesift.export.onnx import write_graphs
    from framesift.export.precision.int8 import SCHEMES, cpu_graph

    name, model = request.param
    system = system_of(model)
    folder = tmp_path_factory.mktemp("graphs")
    write_graphs(system, folder)
    generator = torch.Generator().manual_seed(0)
    ids = system.random_token_ids(32, 16, generator).numpy()
    frames = random_video_inputs(system, 2, generator)[0].numpy()
    inputs: Inputs = {
        TEXT_ENCODER: [{TOKEN_IDS: ids[i : i + 1]} for i in range(32)],
        VIDEO_ENCODER: [{FRAMES: frames[i : i + 1]} for i in range(2)],
    }
    sessions: Sessions = {}
    for graph, feeds in inputs.items():
        paths = {FLOAT32: folder / f"{graph}.onnx"}
        for scheme in SCHEMES:
            paths[f"int8, {scheme}"] = folder / f"{graph}-{scheme}.onnx"
            cpu_graph(paths[FLOAT32], paths[f"int8, {scheme}"], feeds, scheme=scheme)
        for case, path in paths.items():
            sessions[graph, case] = cpu_session(path, threads=1)
    return name, sessions, inputs


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("graph", "batch"), [(TEXT_ENCODER, 1), (TEXT_ENCODER, 32), (VIDEO_ENCODER, 1)])
def bench_int8(
    graph: str,
    batch: int,
    case: str,
    towers: tuple[str, Sessions, Inputs],
    benchmark: Any,
    compared: Callable[..., None],
) -> None:
    name, sessions, inputs = towers
    rows = inputs[graph][:batch]
    feeds = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    want, got = (sessions[graph, c].run(None, feeds)[0] for c in (FLOAT32, case))
    assert np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2)) < TOLERANCE
    what = f"{graph.replace('_', ' ')} of {name} in 8 bits, batch {batch}"
    compared(benchmark, group=what, case=case, baseline=FLOAT32)
    rounds = 15 if batch == 1 and graph == TEXT_ENCODER else 7
    benchmark.pedantic(sessions[graph, case].run, (None, feeds), rounds=rounds, warmup_rounds=1)
