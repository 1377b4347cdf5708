"""What is asked for as JSON, as the tensors of a KServe v2 request, and the answer's tensors as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2 as pb

from ..contents import DATATYPES, DTYPES
from ..json_requests import set_parameter


def asked(
    model: str, arrays: Mapping[str, npt.NDArray[Any]], parameters: Mapping[str, bool | int | float | str] | None = None
) -> Any:
    """The ModelInferRequest that asks a model with these arrays and parameters."""
    request = pb.ModelInferRequest(model_name=model)
    for name, value in (parameters or {}).items():
        set_parameter(request.parameters[name], value)
    for name, array in arrays.items():
        request.inputs.add(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


class Answer:
    """A ModelInferResponse, read as tritonclient's ``InferResult`` is, which would load gRPC."""

    def __init__(self, message: bytes) -> None:
        self._response = pb.ModelInferResponse.FromString(message)
        named = zip(self._response.outputs, self._response.raw_output_contents, strict=True)
        self._arrays = {
            output.name: np.frombuffer(raw, DTYPES[output.datatype]).reshape(tuple(output.shape))
            for output, raw in named
        }

    def as_numpy(self, name: str) -> npt.NDArray[Any] | None:
        """One tensor; None where there is none."""
        return self._arrays.get(name)

    def get_response(self) -> Any:
        """The message."""
        return self._response
