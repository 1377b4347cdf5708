"""Graphs in lower precision: what stays float32, what the borders are, and how far results move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import ModelProto, TensorProto, numpy_helper

from framesift.export.bundle.errors import PrecisionError
from framesift.export.bundle.ports import GRAPHS, SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.graphs import random_video_inputs
from framesift.export.onnx import write_graphs
from framesift.export.precision.products import attention_products, load_folded, weight_products
from framesift.export.precision.rehearsal import rehearsed, rehearsed_tf32
from framesift.export.precision.stages import element_types
from framesift.export.precision.typed_graph import LOW, typed_graph
from framesift.export.systems.contract import System
from framesift.export.systems.examples import small_system

pytestmark = pytest.mark.slow

# Relative RMS of a two-layer model's records: some roundings of 2**-11 and 2**-8.
TOLERANCE = {"fp16": 4e-3, "bf16": 3e-2}
PROTECTED = {"LayerNormalization", "Softmax", "ReduceL2", "ReduceSum", "Div", "Sigmoid", "Exp", "Sqrt", "LSTM", "TopK"}


@pytest.fixture(scope="module", params=["xpool", "ts2net"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[System, Path]:
    """A system whose head makes Gram tables, and one with mask, noise and a masked softmax."""
    name = request.param
    system = small_system(name)
    folder = tmp_path_factory.mktemp(name)
    write_graphs(system.eval(), folder)
    return system, folder


def run(model: ModelProto, inputs: list[torch.Tensor]) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})


def inputs_of(system: System, graph: str, batch: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    if graph == TEXT_ENCODER:
        return [system.random_token_ids(batch, system.max_tokens, generator)]
    return list(random_video_inputs(system, batch, generator))


def error(got: list[np.ndarray], want: list[np.ndarray]) -> float:
    return max(float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("graph", [VIDEO_ENCODER, TEXT_ENCODER])
def test_records_move_by_rounding_alone_at_every_batch(
    exported: tuple[System, Path], graph: str, precision: str, tmp_path: Path
) -> None:
    system, folder = exported
    typed_graph(folder / f"{graph}.onnx", tmp_path / "low.onnx", precision)
    low, own = onnx.load(tmp_path / "low.onnx"), onnx.load(folder / f"{graph}.onnx")
    for batch in (1, 3):
        inputs = inputs_of(system, graph, batch)
        want = run(own, inputs)
        assert 1e-5 < error(run(rehearsed(low), inputs), want) < TOLERANCE[precision]
        if precision == "fp16":
            # ONNX Runtime's CPU takes the graph as it is, and rounds less.
            assert error(run(low, inputs), want) < TOLERANCE[precision]


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("graph", GRAPHS)
def test_borders_and_protected_operators_stay_as_they_are(
    exported: tuple[System, Path], graph: str, precision: str, tmp_path: Path
) -> None:
    own = onnx.load(exported[1] / f"{graph}.onnx")
    typed_graph(exported[1] / f"{graph}.onnx", tmp_path / "low.onnx", precision)
    low = onnx.load(tmp_path / "low.onnx")
    onnx.checker.check_model(low, full_check=True)
    assert list(low.graph.input) == list(own.graph.input)
    assert list(low.graph.output) == list(own.graph.output)
    types = element_types(low)
    for node in low.graph.node:
        if node.op_type in PROTECTED:
            assert LOW[precision] not in {types.get(name) for name in (*node.input, *node.output)}, node.op_type
    computed = {n.output[0] for n in low.graph.node if types.get(n.output[0]) == LOW[precision]}
    core = [*weight_products(own), *attention_products(own)]
    left = {"Conv"} if precision == "bf16" else set()
    assert {n.output[0] for n in core if n.op_type not in left} <= computed
    assert bool(computed) == (graph != SCORER)
    # Two layers of vision and text have four products with weights each; after the last norm nothing is low.
    products = {n.output[0] for n in low.graph.node if n.op_type in ("MatMul", "Gemm", "Conv")}
    assert products & computed == {n.output[0] for n in core if n.op_type not in left}
    assert products - computed or graph == SCORER


def test_a_shared_weight_that_is_transposed_in_the_graph_is_a_weight(tmp_path: Path) -> None:
    helper = onnx.helper
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(6, 5)), "gain": rng.normal(size=6)}
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["product"]),
        helper.make_node("LayerNormalization", ["product", "gain"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, d]) for n, d in (("x", 5), ("y", 6)))
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    own = helper.make_model(helper.make_graph(nodes, "turned", [x], [y], tensors), ir_version=10)
    own.opset_import[0].version = 18
    onnx.save(own, tmp_path / "turned.onnx")
    assert not weight_products(own)
    folded = load_folded(tmp_path / "turned.onnx")
    assert [node.op_type for node in weight_products(folded)] == ["MatMul"]
    assert {t.name for t in folded.graph.initializer} == {"turned", "gain"}
    rows = [torch.randn(2, 5, generator=torch.Generator().manual_seed(0))]
    assert error(run(folded, rows), run(own, rows)) < 1e-6


def test_weights_that_fp16_cant_hold_are_named(exported: tuple[System, Path], tmp_path: Path) -> None:
    model = onnx.load(exported[1] / "text_encoder.onnx")
    name = weight_products(model)[1].input[1]
    weight = next(t for t in model.graph.initializer if t.name == name)
    values = numpy_helper.to_array(weight).copy()
    values[3, 2] = -7e4
    weight.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, tmp_path / "huge.onnx")
    with pytest.raises(PrecisionError, match=rf"{name} in .*transformer.resblocks.0 reaches 7e\+04"):
        typed_graph(tmp_path / "huge.onnx", tmp_path / "low.onnx", "fp16")
    assert not (tmp_path / "low.onnx").exists()
    typed_graph(tmp_path / "huge.onnx", tmp_path / "low.onnx", "bf16")


# Eight bits need activations to set their scales by, so another function writes those graphs.
@pytest.mark.parametrize("precision", ["int8", "fp8", "fp4"])
def test_a_precision_that_casts_alone_can_not_give_is_refused(precision: str, tmp_path: Path) -> None:
    with pytest.raises(PrecisionError, match=f"the precision '{precision}' is unknown, known: fp32, tf32, fp16, bf16$"):
        typed_graph(tmp_path / "a.onnx", tmp_path / "b.onnx", precision)
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_overflows_where_float16_does_and_tf32_does_not(tmp_path: Path) -> None:
    helper = onnx.helper
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy")
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    low = helper.make_model(helper.make_graph(nodes, "low", [x], [y]), ir_version=10)
    low.opset_import[0].version = 18
    wide = helper.make_model(
        helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "wide", [x], [y]), ir_version=10
    )
    wide.opset_import[0].version = 18
    big, fine = torch.full((2, 2), 300.0), torch.full((2, 2), 1 + 2.0**-12)
    assert np.isinf(run(rehearsed(low), [big])[0]).all()
    assert (run(rehearsed_tf32(wide), [big])[0] == 180000).all()
    assert (run(rehearsed_tf32(wide), [fine])[0] == 2).all()
    assert (run(wide, [fine])[0] > 2).all()
