"""The ONNX Runtime backend without a server: what it refuses to load, what it refuses to run, how it batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from framesift.export.bundle.errors import BundleError, FramesiftError, InvalidRequest
from framesift.serving.backends import onnxruntime
from framesift.serving.backends.base import check_numpy
from framesift.serving.backends.onnxruntime import OnnxRuntime


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``scores`` = ``text`` [queries, 4] times ``video`` [videos, 4] transposed; ``total`` is their sum, a scalar."""
    nodes = [
        helper.make_node("Transpose", ["video"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["text", "columns"], ["scores"]),
        helper.make_node("ReduceSum", ["scores"], ["total"], keepdims=0),
    ]
    ports = [("text", ["queries", 4]), ("video", ["videos", 4]), ("scores", ["queries", "videos"]), ("total", [])]
    text, video, scores, total = (helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in ports)
    graph = helper.make_graph(nodes, "pair", [text, video], [scores, total])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(tmp_path / "model.onnx"),
    )
    return tmp_path


def port(name: str, dims: list[int], dtype: str = "TYPE_FP32") -> dict[str, Any]:
    return {"name": name, "data_type": dtype, "dims": dims}


def config(batch: int = 0, **changed: list[dict[str, Any]]) -> dict[str, Any]:
    ports = {
        "input": [port("text", [-1, 4]), port("video", [-1, 4])],
        "output": [port("scores", [-1, -1])],
    }
    return {"max_batch_size": batch, **ports, **changed}


def loaded(folder: Path, values: dict[str, Any], **parameters: str) -> OnnxRuntime:
    model = OnnxRuntime()
    model.name, model.parameters = "pair", parameters
    model.setup(values, folder)
    return model


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"output": [port("score", [-1, -1])]}, "has score; the graph has scores, total"),
        ({"input": [port("text", [-1, 4])]}, "lacks the graph's inputs video"),
        ({"input": [port("text", [-1, 5]), port("video", [-1, 4])]}, "text is float32 [-1, 5]"),
        ({"input": [port("text", [4]), port("video", [-1, 4])]}, "text is float32 [4]"),
        ({"input": [port("text", [-1, 4], "TYPE_FP16"), port("video", [-1, 4])]}, "text is float16 [-1, 4]"),
    ],
    ids=["output-name", "input-missing", "size", "rank", "dtype"],
)
def test_a_configuration_of_another_graph_is_refused(folder: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError) as caught:
        loaded(folder, config(**changed))
    assert said in str(caught.value)


def test_a_file_that_is_no_graph_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(BundleError, match=r"model.onnx can't be opened by ONNX Runtime"):
        loaded(folder, config())


def test_a_large_graph_takes_every_core(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "_SMALL", 0)
    options = loaded(folder, config()).session.get_session_options()
    assert options.intra_op_num_threads == len(os.sched_getaffinity(0))


def test_parameters_of_the_original_backend_are_honoured(folder: Path) -> None:
    options = loaded(folder, config()).session.get_session_options()
    # A graph this small is done before a second thread has woken up.
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert not options.enable_mem_pattern
    options = loaded(
        folder,
        {**config(), "optimization": {"graph": {"level": 2}}},
        **{"intra_op_thread_count": "3", "execution_mode": "1", "session.intra_op.allow_spinning": "1"},
        enable_mem_pattern="1",
    ).session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.execution_mode.name == "ORT_PARALLEL"
    assert options.enable_mem_pattern
    assert options.graph_optimization_level.name == "ORT_DISABLE_ALL"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"text": np.ones((2, 4), np.float32)}, "pair needs the inputs video"),
        ({"text": np.ones((2, 4), np.float32), "video": np.ones((3, 4))}, "video is float64, pair takes float32"),
        ({"text": np.ones((2, 3), np.float32), "video": np.ones((3, 4), np.float32)}, "text has the shape [2, 3]"),
        ({"text": np.ones(4, np.float32), "video": np.ones((3, 4), np.float32)}, "text has the shape [4]"),
        (dict.fromkeys(("text", "video", "more"), np.ones((1, 4), np.float32)), "pair has no input more"),
    ],
    ids=["missing", "dtype", "size", "rank", "unknown"],
)
def test_requests_that_do_not_fit_are_refused_and_others_run(
    folder: Path, request_: dict[str, np.ndarray], said: str
) -> None:
    model = loaded(folder, config())
    good = {"text": np.eye(4, dtype=np.float32), "video": np.arange(8, dtype=np.float32).reshape(2, 4)}
    first, refused, last = model.run([good, request_, good])
    assert isinstance(refused, InvalidRequest)
    assert said in str(refused)
    for answer in (first, last):
        assert not isinstance(answer, FramesiftError)
        np.testing.assert_array_equal(answer["scores"], good["video"].T)


def test_an_output_that_is_not_by_row_is_computed_for_each_request(folder: Path) -> None:
    inputs = [port("text", [4]), port("video", [4])]
    model = loaded(folder, config(8, input=inputs, output=[port("total", [])]))
    rng = np.random.default_rng(0)
    requests = [{name: rng.random((2, 4), np.float32) for name in ("text", "video")} for _ in range(3)]
    for request, answer in zip(requests, model.run(requests), strict=True):
        assert not isinstance(answer, FramesiftError)
        np.testing.assert_allclose(answer["total"], (request["text"] @ request["video"].T).sum(), rtol=1e-5)


def test_numpy_2_is_refused_where_it_would_be_read_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.1.0")
    check_numpy()
    monkeypatch.setenv("FRAMESIFT_EMBEDDED", "1")
    with pytest.raises(FramesiftError, match=r"needs numpy 1.26, this environment has 2.1.0"):
        check_numpy()
    monkeypatch.setattr(np, "__version__", "1.26.4")
    check_numpy()
