"""ONNX Runtime as a backend of the embedded server, under the name and with the configuration of NVIDIA's own.

The same ``config.pbtxt`` and ``model.onnx`` are served by the C++ backend in NVIDIA's container. Of that backend's
parameters these are honoured: ``intra_op_thread_count``, ``inter_op_thread_count``, ``execution_mode``,
``enable_mem_arena``, ``enable_mem_pattern`` and ``session.*``, and of its configuration ``optimization.graph.level``.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from ...export.bundle.errors import BundleError, FramesiftError, InvalidRequest
from ..repository.plan import MAX_ROWS
from .base import Backend
from .exchange import Arrays, shorten
from .signature import Slot, read_slots

_DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(string)": np.object_,
}
_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
# Bytes of a graph whose layers are done before other threads have woken up to help.
_SMALL = 16 << 20
_SPINNING = "session.intra_op.allow_spinning"
_LONGEST_REASON = 400


class OnnxRuntime(Backend):
    """Runs ``<version>/model.onnx``; requests of one batch whose shapes agree are run together.

    Attributes:
        session: the graph, once ``setup`` has opened it.
    """

    session: ort.InferenceSession

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the graph and compare its inputs and outputs with the configuration.

        Raises:
            BundleError: the graph can't be opened, or is not the one that the configuration describes.
        """
        self._batched = config.get("max_batch_size", 0) > 0
        path = folder / (config.get("default_model_filename") or "model.onnx")
        try:
            options = self._options(config, path)
            self.session = ort.InferenceSession(str(path), options, providers=self._providers())
        except Exception as error:
            raise BundleError(f"{path} can't be opened by ONNX Runtime: {_reason(error)}") from error
        slots = read_slots(config, "input")
        self._inputs = {node.name: node for node in self.session.get_inputs()}
        self._names = [output["name"] for output in config["output"]]
        self._compare(slots, self._inputs)
        self._compare(read_slots(config, "output"), {node.name: node for node in self.session.get_outputs()})
        if missing := sorted(self._inputs.keys() - slots.keys()):
            raise BundleError(f"the configuration of {self.name} lacks the graph's inputs {', '.join(missing)}")

    def _options(self, config: Mapping[str, Any], path: Path) -> ort.SessionOptions:
        number = {key: int(value) for key, value in self.parameters.items() if value.lstrip("-").isdigit()}
        options = ort.SessionOptions()
        # ONNX Runtime's own choice pins its threads to cores, and every model's process would pin to the same ones.
        cores = len(os.sched_getaffinity(0))
        helpers = cores if path.stat().st_size > _SMALL else 1
        options.intra_op_num_threads = number.get("intra_op_thread_count", 0) or helpers
        options.inter_op_num_threads = number.get("inter_op_thread_count", 0) or cores
        if number.get("execution_mode", 0) == 1:
            options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        options.enable_cpu_mem_arena = number.get("enable_mem_arena", 1) == 1
        # ONNX Runtime keeps one pattern for every shape it has seen, and batches come in all shapes. It saves no time.
        options.enable_mem_pattern = number.get("enable_mem_pattern", 0) == 1
        level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
        if level in _LEVELS:
            options.graph_optimization_level = _LEVELS[level]
        # Threads that spin while they wait take the cores from the other models' processes.
        entries = {_SPINNING: "0", **{k: v for k, v in self.parameters.items() if k.startswith("session.")}}
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        return options

    def _providers(self) -> list[str | tuple[str, dict[str, str]]]:
        if self.gpu is not None and "CUDAExecutionProvider" in ort.get_available_providers():
            return [("CUDAExecutionProvider", {"device_id": str(self.gpu)}), "CPUExecutionProvider"]
        return ["CPUExecutionProvider"]

    def _compare(self, slots: Mapping[str, Slot], nodes: Mapping[str, Any]) -> None:
        for name, slot in slots.items():
            if name not in nodes:
                raise BundleError(f"the configuration of {self.name} has {name}; the graph has {', '.join(nodes)}")
            node = nodes[name]
            dtype, shape = _DTYPES.get(node.type), list(node.shape)
            # A graph may leave an output's shape open altogether.
            fits = not shape or (
                len(shape) == len(slot.shape)
                and all(-1 in (g, c) or g == c for g, c in zip(_fixed(shape), slot.shape, strict=True))
            )
            if dtype is None or np.dtype(dtype) != slot.dtype or not fits:
                raise BundleError(
                    f"the configuration of {self.name} says {name} is {slot.dtype} {list(slot.shape)}, "
                    f"the graph says {node.type} {shape}"
                )

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Group by shape, run each group as one batch; where a batch fails, its requests are run one by one."""
        results: list[Arrays | FramesiftError | None] = [self._fault(request) for request in inputs]
        groups: dict[Any, list[int]] = defaultdict(list)
        for i, request in enumerate(inputs):
            if results[i] is None:
                shapes = tuple((name, request[name].shape[1:]) for name in sorted(request))
                groups[shapes if self._batched else i].append(i)
        for members in groups.values():
            for i, result in zip(members, self._together([inputs[i] for i in members]), strict=True):
                results[i] = result
        return [result for result in results if result is not None]

    def _fault(self, request: Mapping[str, np.ndarray[Any, Any]]) -> InvalidRequest | None:
        """What keeps this request from being run, in terms of the graph's inputs."""
        if absent := sorted(self._inputs.keys() - request.keys()):
            return InvalidRequest(f"{self.name} needs the inputs {', '.join(absent)}")
        sizes: dict[str, tuple[int, str]] = {}
        for name, array in request.items():
            node = self._inputs.get(name)
            if node is None:
                return InvalidRequest(f"{self.name} has no input {name}; it has {', '.join(self._inputs)}")
            wanted = np.dtype(_DTYPES[node.type])
            if array.dtype != wanted and wanted.kind != "O":
                return InvalidRequest(f"{name} is {array.dtype}, {self.name} takes {wanted}")
            found = f"{name} has the shape {list(array.shape)}, {self.name} takes {list(node.shape)}"
            if len(node.shape) != array.ndim:
                return InvalidRequest(found)
            for size, dim in zip(array.shape, node.shape, strict=True):
                if isinstance(dim, int) and dim != size:
                    return InvalidRequest(found)
                if isinstance(dim, str) and sizes.setdefault(dim, (size, name))[0] != size:
                    other, by = sizes[dim]
                    return InvalidRequest(f"{found}; {by} has {dim} = {other}")
        rows, most = math.prod(size for size, _ in sizes.values()), int(self.parameters.get(MAX_ROWS, "0"))
        if not rows:
            return InvalidRequest(f"{self.name} was sent an empty tensor: {', '.join(request)} need at least one row")
        if most and rows > most:
            told = " x ".join(f"{size} {dim}" for dim, (size, _) in sizes.items())
            return InvalidRequest(f"{self.name} takes at most {most} pairs in one request, this has {told}")
        return None

    def _together(self, requests: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        if len(requests) == 1:
            return [self._one(requests[0])]
        sizes = [len(next(iter(request.values()))) for request in requests]
        whole = self._one({name: np.concatenate([r[name] for r in requests]) for name in requests[0]})
        # Without a row of each output for each row of the inputs there is nothing to hand out.
        if isinstance(whole, FramesiftError) or any(a.shape[:1] != (sum(sizes),) for a in whole.values()):
            return [self._one(request) for request in requests]
        edges = np.cumsum([0, *sizes])
        return [{name: values[a:b] for name, values in whole.items()} for a, b in itertools.pairwise(edges)]

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        feeds = {name: _text(array) if array.dtype.kind == "O" else array for name, array in request.items()}
        try:
            values = self.session.run(self._names, feeds)
        except InvalidArgument as error:
            return InvalidRequest(f"{self.name} can't run these inputs: {_reason(error)}")
        except Exception as error:
            return FramesiftError(f"{self.name} failed in ONNX Runtime: {_reason(error)}")
        return dict(zip(self._names, values, strict=True))


def _fixed(shape: Sequence[Any]) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in shape]


def _text(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Strings as ONNX Runtime takes them: str, where the server gives bytes."""
    flat = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel()]
    return np.array(flat, np.object_).reshape(array.shape)


def _reason(error: Exception) -> str:
    return shorten(str(error).partition("\n")[0], _LONGEST_REASON)
