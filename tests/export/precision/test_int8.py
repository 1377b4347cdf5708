"""Towers in 8 bits: what is quantised, and a bundle of them through the gate."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, numpy_helper

from framesift.__main__ import main
from framesift.export import parity
from framesift.export.build import eager_system
from framesift.export.bundle.engines.flavours import RTX
from framesift.export.bundle.errors import EngineError, ParityError, PrecisionError
from framesift.export.bundle.ports import SCORER, TEXT_ENCODER, TOKEN_IDS, VIDEO_ENCODER
from framesift.export.bundle.store import Bundle, sha256
from framesift.export.corpus.manifest import Clip
from framesift.export.parity_rows import demand
from framesift.export.precision.calibration import CalibrationSet, calibration_inputs
from framesift.export.precision.gate import Gate
from framesift.export.precision.int8 import SCHEMES, cpu_graph, qdq_graph, quantisable_stages
from framesift.export.precision.int8_bundle import demand_recorded, describe_int8, int8_bundle, precision_of
from framesift.export.precision.runners import graph_runner
from framesift.export.precision.stages import is_block, stage_of
from framesift.export.precision.verdict import GateLimits, relative_error
from framesift.export.tensorrt.build import build_engines
from framesift.export.tensorrt.builder import Settings

pytestmark = pytest.mark.long

# Twenty-four videos tell less than the two hundred that the defaults are for.
LIMITS = GateLimits(overlap=0.9, recall_loss=10)


@pytest.fixture(scope="module")
def inputs(bundle: Bundle, clips: list[Clip]) -> CalibrationSet:
    return calibration_inputs(bundle, clips[0].video.parent, clips[0].video.parent / "manifest.jsonl", 24)


@pytest.fixture(scope="module")
def quantised(bundle: Bundle, inputs: CalibrationSet, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return int8_bundle(bundle, tmp_path_factory.mktemp("int8") / "demo", inputs, limits=LIMITS)


def test_explicit_qdq_surrounds_the_blocks_products_alone(
    bundle: Bundle, inputs: CalibrationSet, tmp_path: Path
) -> None:
    for graph, feeds, layers in ((TEXT_ENCODER, inputs.texts, 2), (VIDEO_ENCODER, inputs.videos, 5)):
        qdq_graph(bundle.graph(graph), tmp_path / f"{graph}.onnx", feeds[:4])
        model, own = onnx.load(tmp_path / f"{graph}.onnx"), onnx.load(str(bundle.graph(graph)))
        assert [list(v) for v in (model.graph.input, model.graph.output)] == [
            list(v) for v in (own.graph.input, own.graph.output)
        ]
        constants = {t.name: t for t in model.graph.initializer}
        makers = {name: node for node in model.graph.node for name in node.output}
        fed = [
            n for n in model.graph.node if any(makers[i].op_type == "DequantizeLinear" for i in n.input if i in makers)
        ]
        assert {node.op_type for node in fed} <= {"MatMul", "Gemm"}
        assert len(fed) == 4 * layers
        assert all(is_block(stage_of(node)) for node in fed)
        for node in (n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")):
            zero = constants[node.input[2]]
            assert zero.data_type == TensorProto.INT8
            assert not numpy_helper.to_array(zero).any()
    verdict = Gate(bundle, inputs, LIMITS).judge(tmp_path, "int8", optimise=False)
    assert 1e-3 < verdict.errors["scorer.scores"] < 0.1


def test_eight_bits_can_be_floating_point(bundle: Bundle, inputs: CalibrationSet, tmp_path: Path) -> None:
    out = tmp_path / f"{TEXT_ENCODER}.onnx"
    qdq_graph(bundle.graph(TEXT_ENCODER), out, inputs.texts[:4], bits="fp8")
    model = onnx.load(out)
    types = {t.name: t.data_type for t in model.graph.initializer}
    steps = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(steps) >= 3 * 8
    assert {types[node.input[2]] for node in steps} == {TensorProto.FLOAT8E4M3FN}
    verdict = Gate(bundle, inputs, LIMITS).judge(tmp_path, "fp8", optimise=False)
    assert 1e-2 < verdict.errors["scorer.scores"] < 0.2


@pytest.mark.slow
def test_engines_in_eight_bits_are_built_behind_the_gate(
    bundle: Bundle, inputs: CalibrationSet, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    shutil.copytree(bundle.root, tmp_path / "demo")
    copy, settings = Bundle.open(tmp_path / "demo"), Settings(precision="int8", targets=("sm_89",))
    with pytest.raises(EngineError, match="int8 needs videos and captions"):
        build_engines(copy, RTX, settings)
    strict = GateLimits(overlap=1.0, recall_loss=-100)
    with pytest.raises(PrecisionError, match="the ranking suffers in int8"):
        build_engines(copy, RTX, settings, gate=lambda: Gate(copy, inputs, strict))
    assert not (copy.root / "engines").exists() or not list((copy.root / "engines").iterdir())
    made = build_engines(copy, RTX, settings, gate=lambda: Gate(copy, inputs, LIMITS)).manifest
    assert made.gate is not None
    assert made.gate["precision"] == "int8"
    assert set(made.gate["floating"]) == {TEXT_ENCODER, VIDEO_ENCODER}


@pytest.mark.parametrize("scheme", [pytest.param("dynamic", marks=pytest.mark.slow), "static"])
def test_stages_can_be_left_in_float32(bundle: Bundle, inputs: CalibrationSet, scheme: str, tmp_path: Path) -> None:
    source = bundle.graph(TEXT_ENCODER)
    first, second = quantisable_stages(source)
    for floating, products in (((), 8), ((first,), 4), ((first, second), 0)):
        cpu_graph(source, tmp_path / "q.onnx", inputs.texts[:2], scheme=scheme, floating=floating)  # type: ignore[arg-type]
        model = onnx.load(tmp_path / "q.onnx")
        weights = [t for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) == 2]
        assert len(weights) == products
        # Seven bits: two products of a pair fit 16 bits.
        assert all(abs(numpy_helper.to_array(t).astype(int)).max() <= 64 for t in weights)


@pytest.mark.slow
def test_only_static_records_are_independent_of_their_neighbours(
    bundle: Bundle, inputs: CalibrationSet, tmp_path: Path
) -> None:
    moved = {}
    for scheme in SCHEMES:
        cpu_graph(bundle.graph(TEXT_ENCODER), tmp_path / f"{scheme}.onnx", inputs.texts, scheme=scheme)
        run = graph_runner(tmp_path / f"{scheme}.onnx")
        together = run({TOKEN_IDS: np.concatenate([feeds[TOKEN_IDS] for feeds in inputs.texts])})
        alone = [run(feeds) for feeds in inputs.texts]
        moved[scheme] = max(
            relative_error(together[name][i], one[name][0]) for i, one in enumerate(alone) for name in one
        )
    assert moved["static"] < 1e-3 < moved["dynamic"] < 0.1


def test_the_bundle_says_what_it_is(bundle: Bundle, quantised: Bundle) -> None:
    manifest = quantised.manifest
    assert (precision_of(bundle.manifest), precision_of(manifest)) == ("fp32", "int8")
    assert manifest.fingerprint != bundle.manifest.fingerprint
    assert manifest.options["int8"]["float32_model"] == bundle.manifest.fingerprint
    assert manifest.options["int8"]["verdict"]["ok"]
    assert "quantised to 8 bits (static, 0 stages" in describe_int8(manifest)
    assert replace(manifest, fingerprint="", options={}, parity=(), files={}) == replace(
        bundle.manifest, fingerprint="", options={}, parity=(), files={}
    )
    assert sha256(quantised.graph(SCORER)) == sha256(bundle.graph(SCORER))
    assert quantised.graph(TEXT_ENCODER).stat().st_size < 0.55 * bundle.graph(TEXT_ENCODER).stat().st_size


def test_a_check_tells_rounding_from_other_graphs(quantised: Bundle, tmp_path: Path) -> None:
    rows = list(parity.compare_graphs(eager_system(quantised), quantised.root, seed=3))
    demand_recorded(rows, quantised.manifest)
    with pytest.raises(ParityError, match="the graphs disagree"):
        demand(rows)
    worse = [replace(rows[0], rms_error=0.5, max_error=0.9), *rows[1:]]
    with pytest.raises(ParityError, match="video_encoder frame_vectors, batch 1: RMS 5.0e-01"):
        demand_recorded(worse, quantised.manifest)


@pytest.mark.slow
def test_stages_go_back_to_float32_until_the_gate_gives_up(
    bundle: Bundle, inputs: CalibrationSet, tmp_path: Path
) -> None:
    told: list[str] = []
    few = CalibrationSet(inputs.videos[:6], inputs.texts[:6], "the first of them")
    with pytest.raises(PrecisionError, match="top-10 overlap .*error jumps at"):
        int8_bundle(bundle, tmp_path / "out", few, limits=GateLimits(overlap=1.01), report=told.append)
    back = [line for line in told if line.endswith("goes back to float32")]
    # Half of seven blocks, and none twice.
    assert len(back) == len(set(back)) == 4
    assert not list(tmp_path.iterdir())


def test_a_quantised_bundle_is_not_quantised_again(quantised: Bundle, inputs: CalibrationSet, tmp_path: Path) -> None:
    with pytest.raises(PrecisionError, match="quantised already"):
        int8_bundle(quantised, tmp_path / "out", inputs)


def test_check_tells_a_quantised_bundle_from_a_broken_one(quantised: Bundle, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(quantised.root)])
    assert result.exit_code == 0, result.output
    assert "this bundle is quantised to 8 bits" in result.output
    result = CliRunner().invoke(main, ["quantise", str(quantised.root), "--out", str(tmp_path / "again")])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "again").exists()
