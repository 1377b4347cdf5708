"""An engine on the GPU of this machine: inputs and outputs stay in its memory, bound to the engine once a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bundle.engines.flavours import Flavour
from ..bundle.errors import EngineError
from .messages import listening, logger


@dataclass(frozen=True)
class Bound:
    """Tensors of one call, in the GPU's memory.

    ``inputs`` may be written between runs. ``run`` writes ``outputs``: it starts the work on the current CUDA stream
    and doesn't wait for it.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    context: Any

    def run(self) -> None:
        """Start one execution.

        Raises:
            EngineError: the engine refuses to start.
        """
        if not self.context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise EngineError("the engine does not start; its log says why")


class Engine:
    """A deserialised engine.

    Raises:
        EngineError: there is no GPU, or it can't be deserialised here.
    """

    def __init__(self, flavour: Flavour, graph: str, plan: bytes) -> None:
        if not torch.cuda.is_available():
            raise EngineError(f"{graph}: an engine runs on a GPU, and torch finds none here")
        self._trt, self._graph = flavour.load(), graph
        with listening(self._trt) as messages:
            self._runtime = self._trt.Runtime(logger(self._trt))
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise EngineError(f"{graph}: {flavour.title} can't read the engine here: {messages.reason()}")

    def bind(self, feeds: Mapping[str, Tensor]) -> Bound:
        """A context of its own with the tensors ``feeds``, made contiguous on the GPU, and room for the outputs.

        Raises:
            EngineError: an input is missing, or has a shape that the engine was not built for.
        """
        trt = self._trt
        with listening(trt) as messages:
            context = self._engine.create_execution_context()
            if context is None:
                raise EngineError(f"{self._graph}: the engine has no room to run: {messages.reason()}")
            inputs: dict[str, Tensor] = {}
            outputs: dict[str, Tensor] = {}
            names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
            for name in names:
                if self._engine.get_tensor_mode(name) != trt.TensorIOMode.INPUT:
                    continue
                if name not in feeds:
                    raise EngineError(f"{self._graph} needs the input {name}")
                inputs[name] = feeds[name].cuda().contiguous()
                if not context.set_input_shape(name, tuple(feeds[name].shape)):
                    shape = list(feeds[name].shape)
                    raise EngineError(
                        f"{self._graph}: {name} can't have the shape {shape} in this engine: {messages.reason()}"
                    )
            for name in names:
                if name not in inputs:
                    dtype = torch.from_numpy(np.empty(0, trt.nptype(self._engine.get_tensor_dtype(name)))).dtype
                    outputs[name] = torch.empty(tuple(context.get_tensor_shape(name)), dtype=dtype, device="cuda")
            for name, tensor in (*inputs.items(), *outputs.items()):
                context.set_tensor_address(name, tensor.data_ptr())
        return Bound(inputs, outputs, context)
