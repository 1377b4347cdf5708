"""ONNX Runtime as a backend of the embedded server, under the name and with the configuration of NVIDIA's own.

The same ``config.pbtxt`` and ``model.onnx`` are served by the C++ backend in NVIDIA's container.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from ...export.bundle.errors import BundleError, FramesiftError, InvalidRequest
from .base import Arrays, Backend

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
# The server's names of the same types.
_SERVER_DTYPES = {
    np.float32: "TYPE_FP32",
    np.float16: "TYPE_FP16",
    np.int64: "TYPE_INT64",
    np.int32: "TYPE_INT32",
    np.uint8: "TYPE_UINT8",
    np.bool_: "TYPE_BOOL",
}


class OnnxRuntime(Backend):
    """Runs ``<version>/model.onnx``; requests of one batch whose shapes agree are run together."""

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the graph and compare its inputs and outputs with the configuration."""
        self._batched = config.get("max_batch_size", 0) > 0
        self._outputs = [output["name"] for output in config["output"]]
        path = folder / (config.get("default_model_filename") or "model.onnx")
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(self.parameters.get("intra_op_thread_count", "0"))
        options.inter_op_num_threads = int(self.parameters.get("inter_op_thread_count", "1"))
        # Threads that spin while they wait take the cores from the other models' processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BundleError(f"{path} can't be opened by ONNX Runtime: {reason}") from error
        self._compare(config["input"], self._session.get_inputs())
        self._compare(config["output"], self._session.get_outputs())

    def _compare(self, configured: Sequence[Mapping[str, Any]], nodes: Sequence[Any]) -> None:
        found = {node.name: _SERVER_DTYPES[_DTYPES[node.type]] for node in nodes}
        for port in configured:
            if found.get(port["name"]) != port["data_type"]:
                raise BundleError(
                    f"the configuration of {self.name} says {port['name']} {port['data_type']}, the graph has {found}"
                )

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Group by shape, run each group as one batch; where a batch fails, its requests are run one by one."""
        groups: dict[Any, list[int]] = defaultdict(list)
        for i, request in enumerate(inputs):
            shapes = tuple((name, request[name].shape[1:]) for name in sorted(request))
            groups[shapes if self._batched else i].append(i)
        results: list[Arrays | FramesiftError] = [FramesiftError("not run")] * len(inputs)
        for members in groups.values():
            for i, result in zip(members, self._together([inputs[i] for i in members]), strict=True):
                results[i] = result
        return results

    def _together(self, requests: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        if len(requests) == 1:
            return [self._one(requests[0])]
        sizes = [len(next(iter(request.values()))) for request in requests]
        whole = self._one({name: np.concatenate([r[name] for r in requests]) for name in requests[0]})
        if isinstance(whole, FramesiftError):
            return [self._one(request) for request in requests]
        edges = np.cumsum([0, *sizes])
        return [{name: values[a:b] for name, values in whole.items()} for a, b in itertools.pairwise(edges)]

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        try:
            values = self._session.run(self._outputs, dict(request))
        except Exception as error:
            reason = str(error).partition("\n")[0][:400]
            return InvalidRequest(f"{self.name} can't run these inputs: {reason}")
        return dict(zip(self._outputs, values, strict=True))
