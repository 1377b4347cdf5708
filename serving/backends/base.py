"""What all Python-backend models share, so that each holds its own work alone."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError
from ...export.bundle.models import EMBEDDED_VARIABLE, NICE
from .exchange import Arrays as Arrays
from .exchange import Exchange, defect


class Backend(ABC):
    """A model of Triton server's Python backend. Subclasses give ``setup`` and ``run``, and close in ``finalize``.

    The class can be imported, and ``setup`` and ``run`` called, without the server. Under the server it is the
    ``TritonPythonModel`` of a ``model.py``.

    Attributes:
        name: the model's name.
        parameters: the string parameters of its configuration.
        gpu: number of the GPU on which the server places this instance, or None.
    """

    name: str = "model"
    parameters: Mapping[str, str] = {}
    gpu: int | None = None
    _exchange: Exchange

    @abstractmethod
    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load what the model needs; ``folder`` is its version's folder, ``config`` its configuration.

        Raises:
            FramesiftError: the model can't be served; the server shows the message and does not load it.
        """

    @abstractmethod
    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> Sequence[Arrays | FramesiftError]:
        """Answer several requests, each a mapping of input names to arrays, with outputs or with an error each.

        An exception fails all of them; outputs that are not as configured fail their request.
        """

    def gauges(self) -> Mapping[str, float]:
        """Numbers of the model's state that are metrics, by their names in ``gauges``; asked for once a second."""
        return {}

    def initialize(self, args: Mapping[str, str]) -> None:
        """Called by the server once a process."""
        import triton_python_backend_utils as server

        self.name = args["model_name"]
        if args["model_instance_kind"] == "GPU":
            self.gpu = int(args["model_instance_device_id"])
        config: dict[str, Any] = json.loads(args["model_config"])
        self.parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        try:
            check_numpy()
            # Threads that the model makes from here on inherit it.
            os.nice(int(self.parameters.get(NICE, "0")))
            self.setup(config, Path(args["model_repository"], args["model_version"]))
            self._exchange = Exchange(server, self.name, config, self.gauges)
        except Exception as error:
            fault = error if isinstance(error, FramesiftError) else defect(self.name, error)
            raise server.TritonModelException(fault.wire()) from error

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Called by the server with one or more requests; every one of them gets a response, whatever happens."""
        return self._exchange.execute(requests, self.run)


def check_numpy() -> None:
    """Refuse numpy 2 where the server's Python backend was built for numpy 1.

    Such a backend reads every tensor's element size at the wrong place: each element comes out as a copy of the first,
    without an error. Only the embedded server sets the variable; NVIDIA's containers from 25.01 on know both.

    Raises:
        FramesiftError: the interpreter of this model has numpy 2 or later.
    """
    if EMBEDDED_VARIABLE in os.environ and int(np.__version__.partition(".")[0]) >= 2:
        raise FramesiftError(
            f"the embedded server's Python backend needs numpy 1.26, this environment has {np.__version__}: "
            "pip install 'framesift[server]' in an environment of its own"
        )
