"""Sessions whose inputs and outputs are bound: on the processor, where nothing is recorded but the rest is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from framesift.serving.backends import bound
from framesift.serving.backends.bound import BoundSession

NAMES = ["product", "sums"]


@pytest.fixture
def session(tmp_path: Path) -> Any:
    """``product`` = ``x`` [batch, length, 4] by a matrix, ``sums`` those of its rows."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("ReduceSum", ["product", "axis"], ["sums"], keepdims=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 4])
    outputs = [
        helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", "length", 3]),
        helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["batch", "length"]),
    ]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [4, 3], np.arange(12, dtype=np.float32)),
        helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
    ]
    graph = helper.make_graph(nodes, "small", [x], outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, str(tmp_path / "model.onnx"))
    return ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batches", [(), (1, 4)])
def test_it_answers_as_the_session_does(session: Any, batches: tuple[int, ...]) -> None:
    values = np.random.default_rng(0)
    tied = BoundSession(session, ("cpu", 0), batches)
    # Every shape twice: what an earlier call left must not be seen.
    for count, length in [(1, 2), (3, 2), (4, 5), (2, 2), (9, 3), (3, 5)] * 2:
        feeds = {"x": values.standard_normal((count, length, 4)).astype(np.float32)}
        for found, wanted in zip(tied.run(NAMES, feeds), session.run(NAMES, feeds), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_what_is_recorded_is_a_batch_of_a_size_and_a_shape(session: Any) -> None:
    tied = BoundSession(session, ("cpu", 0), (1, 4))
    for count in (1, 2, 3, 4, 5):
        tied.run(NAMES, {"x": np.zeros((count, 2, 4), np.float32)})
    # Two are half of four or less, and five fit nowhere: they run as they are.
    assert [shape for ((_, shape),) in tied._calls] == [(1, 2, 4), (4, 2, 4)]
    with mock.patch.object(bound, "_MOST", 2):
        (found, _) = tied.run(NAMES, {"x": np.ones((1, 7, 4), np.float32)})
    assert found.shape == (1, 7, 3)
    assert len(tied._calls) == 2
