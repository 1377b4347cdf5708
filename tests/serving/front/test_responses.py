"""Answers as messages: what the door writes itself is what protobuf writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from framesift.export.bundle.models import CUT
from framesift.serving.front.connection import Reply
from framesift.serving.front.responses import response
from framesift.serving.front.upstream import Output, _head, _outputs, _usual

SIZES = (0, 1, 127, 128, 300, 16_383, 16_384, 100_000)


@pytest.mark.parametrize(("id_", "cut"), [("", ()), ("né", ()), ("", (0, 2)), ("x", (1,))])
def test_a_response_is_that_of_protobuf(id_: str, cut: tuple[int, ...]) -> None:
    raws = [np.random.default_rng(size).bytes(size) for size in SIZES]
    outputs = [Output(f"out{n}", "UINT8", [1, len(raw)], memoryview(raw)) for n, raw in enumerate(raws)]
    for _ in range(2):
        wanted = pb.ModelInferResponse(model_name="search", model_version="1", id=id_)
        if cut:
            wanted.parameters[CUT].string_param = ",".join(map(str, cut))
        for output, raw in zip(outputs, raws, strict=True):
            wanted.outputs.add(name=output.name, datatype="UINT8", shape=output.shape)
            wanted.raw_output_contents.append(raw)
        assert response("search", id_, outputs, cut) == wanted.SerializeToString()
        outputs, raws = outputs[::-1], raws[::-1]
    assert pb.ModelInferResponse.FromString(response("search", id_, [], cut)).id == id_


def test_requests_and_answers_of_one_shape_have_one_json() -> None:
    described = (("text", "UINT8", (1, 5), 5), ("top", "INT32", (1, 1), 4))
    head = _usual(described, ("ids", "scores"))
    assert json.loads(head) == {
        "inputs": [
            {"name": name, "datatype": kind, "shape": list(shape), "parameters": {"binary_data_size": size}}
            for name, kind, shape, size in described
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("ids", "scores")],
    }
    assert _usual((described[0],), ("ids",)) != _usual((described[0],), ("scores",)) != head
    told = _head([], ()).replace(b'"inputs": []', b'"model_name": "m"')
    assert json.loads(told) == {"model_name": "m", "outputs": []}
    for body in (b"abcd", b"wxyz"):
        told = json.dumps(
            {"outputs": [{"name": "a", "datatype": "UINT8", "shape": [1, 4], "parameters": {"binary_data_size": 4}}]}
        ).encode()
        (output,) = _outputs(Reply(200, told + body, len(told)))
        assert (output.name, output.datatype, list(output.shape), bytes(output.raw)) == ("a", "UINT8", [1, 4], body)
