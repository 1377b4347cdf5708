"""Requests and answers as JSON: KServe v2 over HTTP, with its extension for tensors behind the JSON.

https://github.com/kserve/open-inference-protocol, and Triton server's "binary tensor data extension".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.errors import InvalidRequest
from .contents import DTYPES, field_of, raw_contents

_SIZE, _BINARY, _ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
# So much JSON costs the event loop a few hundredths of a second; tensors behind it cost nothing.
LARGEST_JSON = 256 << 10
# No model has so many tensors or parameters: of more, each would take its time before it is refused.
_MOST = 64


@dataclass(frozen=True)
class Form:
    """Which outputs a client wants as bytes behind the JSON."""

    all: bool
    chosen: Mapping[str, bool]

    def binary(self, name: str) -> bool:
        """Whether it wants this one so."""
        return self.chosen.get(name, self.all)


def read_request(model: str, version: str, body: bytes, head_bytes: int | None) -> tuple[Any, Form]:
    """The ModelInferRequest that a body stands for, and how its answer is to look.

    Args:
        head_bytes: where the JSON ends and tensors begin; None where all is JSON.

    Raises:
        InvalidRequest: it is no such request.
    """
    if head_bytes is not None and not 0 <= head_bytes <= len(body):
        raise InvalidRequest(f"the JSON is said to have {head_bytes} bytes, and the request has {len(body)}")
    head = body if head_bytes is None else body[:head_bytes]
    if len(head) > LARGEST_JSON:
        raise InvalidRequest(f"the JSON has {len(head)} bytes, the limit is {LARGEST_JSON}: send tensors behind it")
    told = _object(_json(head), "the request")
    tail = memoryview(b"" if head_bytes is None else body)[head_bytes or 0 :]
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    try:
        request.id = told.pop("id", "")
        parameters = _object(told.pop("parameters", {}), "parameters")
        everything = parameters.pop(_ALL_BINARY, False) is True
        for key, value in parameters.items():
            set_parameter(request.parameters[key], value)
        for values in _objects(told.pop("inputs", []), "inputs"):
            tail = _add_input(request, values, tail)
        chosen = dict(_output(request, values) for values in _objects(told.pop("outputs", []), "outputs"))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(f"the request holds a value of another type than KServe's: {error}") from error
    if told:
        raise InvalidRequest(f"the request has a field {str(next(iter(told)))[:60]!r}, which KServe v2 has not")
    if tail:
        raise InvalidRequest(f"{len(tail)} bytes follow the last tensor")
    return request, Form(everything, chosen)


def answer(response: Any, form: Form) -> tuple[bytes, Sequence[bytes]]:
    """A ModelInferResponse as JSON, and the tensors that follow it."""
    tensors: list[bytes] = []
    outputs = []
    named = zip(response.outputs, response.raw_output_contents, strict=True)
    if sum(len(raw) for output, raw in named if not form.binary(output.name)) > LARGEST_JSON:
        raise InvalidRequest(f"the answer has more than {LARGEST_JSON} bytes of numbers: ask for {_BINARY} outputs")
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        told: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        if form.binary(output.name):
            told["parameters"] = {_SIZE: len(raw)}
            tensors.append(raw)
        else:
            told["data"] = np.frombuffer(raw, DTYPES[output.datatype]).tolist()
        outputs.append(told)
    told = {"model_name": response.model_name, "model_version": response.model_version, "outputs": outputs}
    if response.id:
        told["id"] = response.id
    if response.parameters:
        told["parameters"] = {name: value.string_param for name, value in response.parameters.items()}
    return json.dumps(told).encode(), tensors


def _add_input(request: Any, values: dict[str, Any], tail: memoryview) -> memoryview:
    """Append an input; returns what is left of the tensors behind the JSON."""
    parameters = _object(values.pop("parameters", {}), "an input's parameters")
    size = parameters.pop(_SIZE, None)
    data = values.pop("data", None)
    tensor = request.inputs.add(
        name=values.pop("name", ""), datatype=values.pop("datatype", ""), shape=values.pop("shape", [])
    )
    for key in (*parameters, *values):
        tensor.parameters[key].bool_param = True
    if (size is None) == (data is None):
        raise InvalidRequest(f"{tensor.name[:60]!r} needs either data or {_SIZE}")
    if data is None:
        if type(size) is not int or not 0 <= size <= len(tail):
            raise InvalidRequest(f"{tensor.name[:60]!r} has another {_SIZE} than it may, as {len(tail)} bytes are left")
        request.raw_input_contents.append(bytes(tail[:size]))
        return tail[size:]
    getattr(tensor.contents, field_of(tensor)).extend(_flat(data))
    request.raw_input_contents.append(raw_contents(tensor))
    tensor.ClearField("contents")
    return tail


def set_parameter(parameter: Any, value: Any) -> None:
    """Give a request's parameter a value; one of a type that none has stays without."""
    kinds: dict[type, str] = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    if type(value) in kinds:
        setattr(parameter, kinds[type(value)], value)


def _output(request: Any, values: dict[str, Any]) -> tuple[str, bool]:
    parameters = _object(values.pop("parameters", {}), "an output's parameters")
    binary = parameters.pop(_BINARY, False) is True
    output = request.outputs.add(name=values.pop("name", ""))
    for key in (*parameters, *values):
        output.parameters[key].bool_param = True
    return output.name, binary


def _flat(data: Any) -> Iterator[Any]:
    """The values of lists within lists, in order; whoever nests them deeply costs no more than who does not."""
    stack = [iter([data])]
    while stack:
        for value in stack[-1]:
            if isinstance(value, list):
                stack.append(iter(value))
                break
            yield value
        else:
            stack.pop()


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is no JSON: {str(error)[:100]}") from error


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object")
    _check_few(value, what)
    return value


def _objects(value: Any, what: str) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list):
        raise InvalidRequest(f"{what} must be a JSON list")
    _check_few(value, what)
    return (_object(each, f"each of {what}") for each in value)


def _check_few(values: Sized, what: str) -> None:
    if len(values) > _MOST:
        raise InvalidRequest(f"{what} has {len(values)} values, the most is {_MOST}")
