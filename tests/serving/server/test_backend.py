"""Models of the base class, and ONNX graphs, behind a real server: right answers, and errors that harm nobody else."""

from __future__ import annotations

import itertools
import queue
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpc
from onnx import TensorProto, helper

from framesift.export.bundle.errors import FramesiftError, InvalidRequest, from_wire
from framesift.serving.server.embedded import EmbeddedServer

from ...waiting import until
from ..behind import opened

pytestmark = pytest.mark.server

MODELS = Path(__file__).parent / "models"
REFUSES, FAILS, LACKS_OUTPUT, WRONG_DTYPE, WRONG_SHAPE = -1.0, -2.0, -3.0, -4.0, -5.0
WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3)
TABLE = np.linspace(-1, 1, 10, dtype=np.float32)
ONNX_CONFIG = """
backend: "onnxruntime"
max_batch_size: 16
instance_group { count: 1 }
default_model_filename: "model.onnx"
dynamic_batching { max_queue_delay_microseconds: 200000 }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def save(repository: Path, name: str, node: onnx.NodeProto, ports: Sequence, constant: np.ndarray, config: str) -> None:
    """A graph of one node with one constant, and its configuration, as a model of the repository."""
    (repository / name / "1").mkdir(parents=True)
    initial = onnx.numpy_helper.from_array(constant, "constant")
    graph = helper.make_graph([node], name, ports[:1], ports[1:], [initial])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(repository / name / "1/model.onnx"))
    (repository / name / "config.pbtxt").write_text(f'name: "{name}"\n{ONNX_CONFIG}{config}')


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EmbeddedServer, grpc.InferenceServerClient]]:
    repository = tmp_path_factory.mktemp("repository")
    shutil.copytree(MODELS / "arithmetic", repository / "arithmetic")
    save(
        repository,
        "linear",
        helper.make_node("MatMul", ["x", "constant"], ["y"]),
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 4]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "length", 3]),
        ],
        WEIGHT,
        """input { name: "x" data_type: TYPE_FP32 dims: [ -1, -1 ] allow_ragged_batch: true }
        output { name: "y" data_type: TYPE_FP32 dims: [ -1, 3 ] }""",
    )
    save(
        repository,
        "lookup",
        helper.make_node("Gather", ["constant", "index"], ["y"]),
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, ["batch", "length"]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "length"]),
        ],
        TABLE,
        """input { name: "index" data_type: TYPE_INT64 dims: -1 }
        output { name: "y" data_type: TYPE_FP32 dims: -1 }""",
    )
    with opened(tmp_path_factory.mktemp("socket"), repository) as both:
        yield both


@pytest.fixture
def client(running: tuple[EmbeddedServer, grpc.InferenceServerClient]) -> grpc.InferenceServerClient:
    return running[1]


def tensor(name: str, values: np.ndarray) -> grpc.InferInput:
    datatype = {"float32": "FP32", "int64": "INT64", "float64": "FP64"}[values.dtype.name]
    made = grpc.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def ask(client: grpc.InferenceServerClient, model: str, outputs: Sequence[str] = (), **inputs: np.ndarray):
    wanted = [grpc.InferRequestedOutput(name) for name in outputs] or None
    return client.infer(model, [tensor(*item) for item in inputs.items()], outputs=wanted, client_timeout=60)


def ask_at_once(client: grpc.InferenceServerClient, model: str, name: str, requests: Sequence[np.ndarray]) -> list:
    """Results or errors of requests sent together, in their order."""
    done: queue.Queue = queue.Queue()
    for number, values in enumerate(requests):
        client.async_infer(
            model,
            [tensor(name, values)],
            lambda result, error, number=number: done.put((number, error or result)),
            client_timeout=60,
        )
    answers = dict(done.get(timeout=90) for _ in requests)
    return [answers[number] for number in range(len(requests))]


def error_of(client: grpc.InferenceServerClient, model: str, **inputs: np.ndarray) -> tuple[FramesiftError | None, str]:
    with pytest.raises(grpc.InferenceServerException) as caught:
        ask(client, model, **inputs)
    return from_wire(caught.value.message()), str(caught.value)


def row(first: float) -> np.ndarray:
    return np.array([[first, 2, 3]], np.float32)


def test_a_python_model_answers_with_what_was_asked_for(client: grpc.InferenceServerClient) -> None:
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    answer = ask(client, "arithmetic", x=x)
    np.testing.assert_array_equal(answer.as_numpy("double"), 2 * x)
    np.testing.assert_array_equal(answer.as_numpy("square"), x**2)
    alone = ask(client, "arithmetic", ["square"], x=x)
    assert [output.name for output in alone.get_response().outputs] == ["square"]
    np.testing.assert_array_equal(alone.as_numpy("square"), x**2)


def test_a_bad_request_does_not_touch_those_it_was_batched_with(client: grpc.InferenceServerClient) -> None:
    moods = [1.0, REFUSES, 5.0, LACKS_OUTPUT, 7.0, WRONG_DTYPE, WRONG_SHAPE, 9.0]

    def batched() -> list:
        """The answers, once they are of requests that came so close to one another that they were batched."""
        answers = ask_at_once(client, "arithmetic", "x", [row(mood) for mood in moods])
        together = []
        for mood, answer in zip(moods, answers, strict=True):
            if mood > 0:
                np.testing.assert_array_equal(answer.as_numpy("double"), 2 * row(mood))
                together.append(answer.as_numpy("together").item())
            else:
                assert isinstance(answer, grpc.InferenceServerException)
        return answers if max(together) > 1 else []

    answers = until(batched, told=lambda: "the requests were not batched, so the test shows nothing")
    refused, wrong = answers[1], [answers[i].message() for i in (3, 5, 6)]
    assert isinstance(from_wire(refused.message()), InvalidRequest)
    assert str(from_wire(refused.message())) == "not this one, give another"
    assert refused.status() == "StatusCode.INVALID_ARGUMENT"
    assert [text.partition("ValueError: ")[2] for text in wrong] == [
        "the output square is missing, there are ['double', 'together']",
        "the output square is float64, expected float32",
        "the output square has the shape [1, 1], expected [-1, 3]",
    ]


def test_a_defect_gets_a_short_message_and_a_trace_in_the_log(
    running: tuple[EmbeddedServer, grpc.InferenceServerClient], client: grpc.InferenceServerClient
) -> None:
    told, _ = error_of(client, "arithmetic", x=row(FAILS))
    assert type(told) is FramesiftError
    assert str(told).startswith("internal error in arithmetic: ValueError: first line of a long story")
    assert len(told.wire()) <= 512
    assert "second line" not in told.wire()
    log = running[0].log_path.read_text()
    assert "Traceback (most recent call last):" in log
    assert "second line" in log
    assert ask(client, "arithmetic", x=row(1)).as_numpy("double")[0, 0] == 2


def test_a_graph_answers_and_batches_only_equal_shapes(client: grpc.InferenceServerClient) -> None:
    rng = np.random.default_rng(1)
    requests = [rng.standard_normal((rows, length, 4)).astype(np.float32) for rows in (1, 2, 3) for length in (2, 5)]
    rounds = itertools.count(1)

    def batched() -> bool:
        """Whether any of all requests so far came so close to one another."""
        for x, answer in zip(requests, ask_at_once(client, "linear", "x", requests), strict=True):
            np.testing.assert_allclose(answer.as_numpy("y"), x @ WEIGHT, rtol=1e-5, atol=1e-5)
        counts = client.get_inference_statistics("linear", as_json=True)["model_stats"][0]
        return int(counts["execution_count"]) < next(rounds) * len(requests)

    until(batched, told=lambda: "the requests were not batched, so the test shows nothing")


def test_a_graph_refuses_what_does_not_fit_and_says_what_would(client: grpc.InferenceServerClient) -> None:
    # The configuration leaves the last dimension open; the graph does not.
    told, text = error_of(client, "linear", x=np.zeros((1, 2, 5), np.float32))
    assert isinstance(told, InvalidRequest), text
    assert str(told) == "x has the shape [1, 2, 5], linear takes ['batch', 'length', 4]"
    _, text = error_of(client, "linear", x=np.zeros((1, 2, 4), np.float64))
    assert "FP64" in text
    assert "FP32" in text
    _, text = error_of(client, "linear", x=np.zeros((1, 4), np.float32))
    assert "unexpected shape for input 'x'" in text


def test_a_graph_that_fails_on_one_request_answers_the_others(client: grpc.InferenceServerClient) -> None:
    requests = [np.array([[3, 4]]), np.array([[3, 99]]), np.array([[0, 9]])]
    good, bad, also_good = ask_at_once(client, "lookup", "index", requests)
    np.testing.assert_array_equal(good.as_numpy("y"), TABLE[[[3, 4]]])
    np.testing.assert_array_equal(also_good.as_numpy("y"), TABLE[[[0, 9]]])
    told = from_wire(bad.message())
    assert isinstance(told, InvalidRequest)
    assert "lookup can't run these inputs" in str(told)
    assert "out of data bounds" in str(told)
