"""KServe v2 over HTTP: tritonclient's HTTP client and plain JSON get what gRPC gets, and what is wrong is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

from framesift.export.bundle.errors import InvalidRequest
from framesift.serving.front.json_requests import read_request

from ...waiting import until
from .asked_over_http import ask
from .requests_of import search

pytestmark = [pytest.mark.filterwarnings("ignore")]
TEXT = "a red circle"


def plain_search(text: str = TEXT, top: int = 3) -> dict[str, Any]:
    raw = list(text.encode())
    return {
        "inputs": [
            {"name": "text", "datatype": "UINT8", "shape": [1, len(raw)], "data": [raw]},
            {"name": "text_length", "datatype": "INT32", "shape": [1, 1], "data": [len(raw)]},
            {"name": "top", "datatype": "INT32", "shape": [1, 1], "data": [top]},
        ]
    }


def post(server: Any, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    answer = ask(server.address, path, body, **headers)
    return answer.status, answer.json


def asked(module: Any) -> list[Any]:
    made = []
    for name, array in search((TEXT.encode(),), 3).items():
        made.append(module.InferInput(name, list(array.shape), {"uint8": "UINT8", "int32": "INT32"}[array.dtype.name]))
        made[-1].set_data_from_numpy(array)
    return made


@pytest.mark.server
@pytest.mark.parametrize("binary", [True, False])
def test_tritonclients_http_finds_what_its_grpc_finds(binary: bool, server, indexed: list) -> None:
    with (
        http_client.InferenceServerClient(server.address) as http,
        grpc_client.InferenceServerClient(server.address) as grpc,
    ):
        names = [output["name"] for output in http.get_model_metadata("search")["outputs"]]
        outputs = [http_client.InferRequestedOutput(name, binary_data=binary) for name in names]
        over_http = http.infer("search", asked(http_client), outputs=outputs, request_id="mine")
        over_grpc = grpc.infer("search", asked(grpc_client))
        assert over_http.get_response()["id"] == "mine"
        for name in names:
            found, wanted = over_http.as_numpy(name), over_grpc.as_numpy(name)
            assert found.dtype == wanted.dtype
            if name == "scores":
                np.testing.assert_allclose(found, wanted, atol=1e-6)
            elif name == "version":
                # The gallery's files may have been merged meanwhile.
                assert (found <= wanted).all()
            elif name != "attention":
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.server
def test_models_are_told_as_over_grpc(server) -> None:
    with (
        http_client.InferenceServerClient(server.address) as http,
        grpc_client.InferenceServerClient(server.address) as grpc,
    ):
        assert http.is_server_live()
        # On a busy machine Triton server may not say so in time.
        until(http.is_server_ready)
        until(lambda: http.is_model_ready("search"))
        assert http.get_server_metadata()["name"] == grpc.get_server_metadata().name
        for model in ("search", "index_video", "score_text"):
            told, wanted = http.get_model_metadata(model), grpc.get_model_metadata(model)
            assert [(x["name"], x["datatype"], x["shape"]) for x in told["inputs"]] == [
                (x.name, x.datatype, list(x.shape)) for x in wanted.inputs
            ]
            assert http.get_model_config(model)["max_batch_size"] == grpc.get_model_config(model).config.max_batch_size
        assert http.get_inference_statistics("search")["model_stats"][0]["name"] == "search"
        assert len(http.get_inference_statistics()["model_stats"]) > 6
        for refused in (http.get_model_repository_index, lambda: http.load_model("search")):
            with pytest.raises(InferenceServerException):
                refused()


@pytest.mark.server
def test_what_is_wrong_is_told_as_json(server) -> None:
    infer = "/v2/models/search/infer"
    assert post(server, infer, plain_search())[0] == 200
    for path, body, headers, status, said in (
        (infer, b"{", {}, 400, "no JSON"),
        (infer, b"[" * 100_000, {}, 400, "no JSON"),
        (infer, [], {}, 400, "must be a JSON object"),
        (infer, plain_search() | {"more": 1}, {}, 400, "'more'"),
        (infer, plain_search() | {"parameters": {"priority": 1}}, {}, 400, "no parameter 'priority'"),
        (infer, plain_search(top=0), {}, 400, "top"),
        (infer, plain_search(), {"Content-Encoding": "gzip"}, 400, "content-encoding"),
        (infer, plain_search(), {"Inference-Header-Content-Length": "-1"}, 400, "no number"),
        (infer, plain_search(), {"Inference-Header-Content-Length": "9" * 7}, 400, "is said to have"),
        ("/v2/models/text_encoder/infer", plain_search(), {}, 404, "no model 'text_encoder'"),
        ("/v2/models/search/versions/2/infer", plain_search(), {}, 400, "has the version 1, not '2'"),
        (infer, bytes(3 << 20), {}, 413, "over gRPC"),
    ):
        code, answer = post(server, path, body, **headers)
        assert (code, said in answer["error"]) == (status, True), answer
    assert post(server, infer, plain_search())[0] == 200


def test_binary_tensors_follow_the_json() -> None:
    told = plain_search()
    head = json.loads(json.dumps(told))
    raw = TEXT.encode()
    head["inputs"][0] = {
        "name": "text",
        "datatype": "UINT8",
        "shape": [1, len(raw)],
        "parameters": {"binary_data_size": len(raw)},
    }
    start = json.dumps(head).encode()
    mixed, _ = read_request("search", "", start + raw, len(start))
    whole, _ = read_request("search", "", json.dumps(told).encode(), None)
    assert list(mixed.raw_input_contents) == list(whole.raw_input_contents)
    assert mixed.inputs == whole.inputs
    with pytest.raises(InvalidRequest, match="1 bytes follow"):
        read_request("search", "", start + raw + b"x", len(start))
    with pytest.raises(InvalidRequest, match="bytes are left"):
        read_request("search", "", start + raw[:-1], len(start))


@pytest.mark.parametrize(
    "values",
    [
        {"name": 1},
        {"shape": ["1", 2]},
        {"shape": [2**70, 1]},
        {"data": ["a"]},
        {"data": [2**40]},
        {"data": [300]},
        {"data": {}},
        {"data": None},
        {"datatype": "BYTES"},
        {"datatype": "FP16"},
        {"name": "\ud800"},
        {"parameters": {"binary_data_size": True}},
        {"parameters": []},
    ],
)
def test_values_of_other_types_are_refused(values: dict[str, Any]) -> None:
    first = {"name": "text", "datatype": "UINT8", "shape": [1, 1], "data": [97]}
    if "parameters" in values:
        del first["data"]
    with pytest.raises(InvalidRequest):
        read_request("search", "", json.dumps({"inputs": [first | values]}).encode(), None)


def test_lists_may_be_nested_as_deep_as_json_can_be() -> None:
    data: Any = [97]
    for _ in range(300):
        data = [data]
    body = {"inputs": [{"name": "text", "datatype": "UINT8", "shape": [1, 1], "data": data}]}
    request, _ = read_request("search", "", json.dumps(body).encode(), None)
    assert list(request.raw_input_contents) == [b"a"]
