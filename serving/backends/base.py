"""What all Python-backend models share, so that each holds its own work alone."""

from __future__ import annotations

import json
import os
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError
from .heartbeat import Heartbeat

Arrays = dict[str, np.ndarray[Any, Any]]

# A longer message would not fit the metadata in which gRPC carries it.
_LONGEST_MESSAGE = 2000


class Backend(ABC):
    """A model of Triton server's Python backend. Subclasses give ``setup`` and ``run``.

    Attributes:
        name: the model's name.
        parameters: the string parameters of its configuration.
    """

    name: str
    parameters: Mapping[str, str]

    @abstractmethod
    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load what the model needs; ``folder`` is its version's folder, ``config`` its configuration.

        Raises:
            FramesiftError: the model can't be served; the server shows the message and does not load it.
        """

    @abstractmethod
    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Answer several requests, each a mapping of input names to arrays, with outputs or with an error each."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Called by the server once a process."""
        import triton_python_backend_utils as server

        self._server = server
        self.name = args["model_name"]
        try:
            check_numpy()
            config: dict[str, Any] = json.loads(args["model_config"])
            self.parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
            self.setup(config, Path(args["model_repository"], args["model_version"]))
        except FramesiftError as error:
            raise server.TritonModelException(error.wire()) from error
        self._heartbeat = Heartbeat()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Called by the server with one or more requests; every one of them gets a response, whatever happens."""
        with self._heartbeat.busy():
            inputs = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
            try:
                results = self.run(inputs)
            except Exception as error:
                results = [self._bug(error)] * len(requests)
            return [self._response(*pair) for pair in zip(requests, results, strict=True)]

    def _response(self, request: Any, result: Arrays | FramesiftError) -> Any:
        if isinstance(result, FramesiftError):
            message = result.wire()[:_LONGEST_MESSAGE]
            return self._server.InferenceResponse(error=self._server.TritonError(message))
        wanted = request.requested_output_names()
        tensors = [self._server.Tensor(name, np.ascontiguousarray(result[name])) for name in result if name in wanted]
        return self._server.InferenceResponse(tensors)

    def _bug(self, error: Exception) -> FramesiftError:
        traceback.print_exception(error, file=sys.stderr)
        reason = str(error).partition("\n")[0][:300]
        return FramesiftError(f"internal error in {self.name}: {type(error).__name__}: {reason}")


def check_numpy() -> None:
    """Refuse numpy 2 where the server's Python backend was built for numpy 1.

    Such a backend reads every tensor's element size at the wrong place: each element comes out as a copy of the first,
    without an error. Only the embedded server sets the variable; NVIDIA's containers from 25.01 on know both.

    Raises:
        FramesiftError: the interpreter of this model has numpy 2 or later.
    """
    if "FRAMESIFT_EMBEDDED" in os.environ and int(np.__version__.partition(".")[0]) >= 2:
        raise FramesiftError(
            f"the embedded server's Python backend needs numpy 1.26, this environment has {np.__version__}: "
            "pip install 'framesift[server]' in an environment of its own"
        )
