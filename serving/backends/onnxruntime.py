"""ONNX Runtime as a backend of the embedded server, under the name and with the configuration of NVIDIA's own.

The same ``config.pbtxt`` and ``model.onnx`` are served by the C++ backend in NVIDIA's container. Of that backend's
parameters these are honoured: ``intra_op_thread_count``, ``inter_op_thread_count``, ``execution_mode``,
``enable_mem_arena``, ``enable_mem_pattern`` and ``session.*``, and of its configuration ``optimization.graph.level``.
"""

from __future__ import annotations

import itertools
import logging
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
from ...export.bundle.models import MAX_ROWS, RECORDED
from ...export.bundle.sessions import session_options
from ...export.bundle.spec import TensorSpec
from .base import Backend
from .bound import BoundSession
from .configured import configured
from .exchange import Arrays, shorten, without_paths

# ONNX Runtime's names of element types, where they are not numpy's in "tensor(...)".
_OTHER_NAMES = {"float": "float32", "double": "float64", "string": "object"}
_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
# Bytes of a graph whose layers are done before other threads have woken up to help.
_SMALL = 16 << 20
_LONGEST_REASON = 400
CUDA = "CUDAExecutionProvider"
_log = logging.getLogger(__name__)
NO_CUDA = "this ONNX Runtime has no CUDA: pip uninstall onnxruntime, then pip install 'framesift[gpu]'"


class OnnxRuntime(Backend):
    """Runs ``<version>/model.onnx``; requests of one batch whose shapes agree are run together.

    Attributes:
        session: the graph, once ``setup`` has opened it.
    """

    session: ort.InferenceSession
    _bound: BoundSession | None = None

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the graph and compare its inputs and outputs with the configuration.

        Raises:
            BundleError: the graph can't be opened, or is not the one that the configuration describes.
        """
        self._batched = config.get("max_batch_size", 0) > 0
        path = folder / (config.get("default_model_filename") or "model.onnx")
        try:
            self._open(config, path)
        except Exception as error:
            raise BundleError(f"{path} can't be opened by ONNX Runtime: {_reason(error)}") from error
        inputs = configured(config, "input")
        self._inputs = {node.name: _spec(node) for node in self.session.get_inputs()}
        self._names = [output["name"] for output in config["output"]]
        self._compare(inputs, self._inputs)
        self._compare(configured(config, "output"), {node.name: _spec(node) for node in self.session.get_outputs()})
        if missing := sorted(self._inputs.keys() - inputs.keys()):
            raise BundleError(f"the configuration of {self.name} lacks the graph's inputs {', '.join(missing)}")

    def _open(self, config: Mapping[str, Any], path: Path) -> None:
        """Where the configuration demands CUDA, inputs and outputs are bound, and launches recorded if it says so."""
        options, providers = self._options(config, path), self._providers(config)
        batches = sorted(int(size) for size in self.parameters.get(RECORDED, "").split(",") if size)
        if batches and not isinstance(providers[0], str):
            name, own = providers[0]
            recording: list[str | tuple[str, dict[str, str]]] = [
                (name, {**own, "enable_cuda_graph": "1"}),
                *providers[1:],
            ]
            try:
                self.session = ort.InferenceSession(str(path), options, providers=recording)
                self._bound = BoundSession(self.session, ("cuda", self.gpu or 0), batches)
                return
            except Exception as error:
                _log.warning("%s runs without CUDA graphs: %s", self.name, _reason(error))
        self.session = ort.InferenceSession(str(path), options, providers=providers)
        if _demanded(config) is not None:
            self._bound = BoundSession(self.session, ("cuda", self.gpu or 0))

    def _options(self, config: Mapping[str, Any], path: Path) -> ort.SessionOptions:
        number = {key: int(value) for key, value in self.parameters.items() if value.lstrip("-").isdigit()}
        # ONNX Runtime's own choice pins its threads to cores, and every model's process would pin to the same ones.
        cores = len(os.sched_getaffinity(0))
        helpers = cores if path.stat().st_size > _SMALL else 1
        options = session_options(number.get("intra_op_thread_count", 0) or helpers)
        options.inter_op_num_threads = number.get("inter_op_thread_count", 0) or cores
        if number.get("execution_mode", 0) == 1:
            options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        options.enable_cpu_mem_arena = number.get("enable_mem_arena", 1) == 1
        # ONNX Runtime keeps one pattern for every shape it has seen, and batches come in all shapes. It saves no time.
        options.enable_mem_pattern = number.get("enable_mem_pattern", 0) == 1
        level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
        if level in _LEVELS:
            options.graph_optimization_level = _LEVELS[level]
        for key, value in self.parameters.items():
            if key.startswith("session."):
                options.add_session_config_entry(key, value)
        return options

    def _providers(self, config: Mapping[str, Any]) -> list[str | tuple[str, dict[str, str]]]:
        """CUDA where the server places this instance on a GPU; the configuration may demand it, with options."""
        wanted = _demanded(config)
        there = self.gpu is not None and CUDA in ort.get_available_providers()
        if wanted is not None and not there:
            raise BundleError(NO_CUDA if self.gpu is not None else "the server has no GPU for it")
        if there:
            return [(CUDA, {"device_id": str(self.gpu), **(wanted or {})}), "CPUExecutionProvider"]
        return ["CPUExecutionProvider"]

    def _compare(self, wanted: Mapping[str, TensorSpec], found: Mapping[str, TensorSpec]) -> None:
        for name, said in wanted.items():
            if name not in found:
                raise BundleError(f"the configuration of {self.name} has {name}; the graph has {', '.join(found)}")
            here = found[name]
            # A graph may leave an output's shape open altogether.
            fits = not here.dims or (
                len(here.dims) == len(said.dims)
                and all(-1 in pair or len(set(pair)) == 1 for pair in zip(here.shape, said.shape, strict=True))
            )
            if here.dtype != said.dtype or not fits:
                raise BundleError(
                    f"the configuration of {self.name} says {name} is {said.dtype} {list(said.dims)}, "
                    f"the graph says {here.dtype} {list(here.dims)}"
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
        takes = f"{self.name} takes"
        sizes: dict[str, tuple[int, str]] = {}
        for name, array in request.items():
            spec = self._inputs.get(name)
            if spec is None:
                return InvalidRequest(f"{self.name} has no input {name}; it has {', '.join(self._inputs)}")
            if fault := spec.mismatch(array, takes):
                return InvalidRequest(fault)
            for size, dim in zip(array.shape, spec.dims, strict=True):
                if isinstance(dim, str) and sizes.setdefault(dim, (size, name))[0] != size:
                    other, by = sizes[dim]
                    return InvalidRequest(f"{spec.shape_fault(array, takes)}; {by} has {dim} = {other}")
        rows, most = math.prod(size for size, _ in sizes.values()), int(self.parameters.get(MAX_ROWS, "0"))
        if not rows:
            return InvalidRequest(f"{self.name} was sent an empty tensor: {', '.join(request)} need at least one row")
        if most and rows > most:
            found = " x ".join(f"{size} {dim}" for dim, (size, _) in sizes.items())
            return InvalidRequest(f"{self.name} takes at most {most} pairs in one request, this has {found}")
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
            values = (self._bound or self.session).run(self._names, feeds)
        except InvalidArgument as error:
            return InvalidRequest(f"{self.name} can't run these inputs: {_reason(error)}")
        except Exception as error:
            return FramesiftError(f"{self.name} failed in ONNX Runtime: {_reason(error)}")
        return dict(zip(self._names, values, strict=True))


def _demanded(config: Mapping[str, Any]) -> Mapping[str, str] | None:
    """The CUDA provider's options where the configuration demands it."""
    asked = config.get("optimization", {}).get("execution_accelerators", {}).get("gpu_execution_accelerator", [])
    return next((each.get("parameters", {}) for each in asked if each["name"] == "cuda"), None)


def _spec(node: Any) -> TensorSpec:
    """A graph's input or output; a dimension without a size may also be without a name."""
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    dims = tuple(-1 if dim is None else dim for dim in node.shape)
    return TensorSpec(node.name, _OTHER_NAMES.get(kind, kind), dims)


def _text(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Strings as ONNX Runtime takes them: str, where the server gives bytes."""
    flat = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel()]
    return np.array(flat, np.object_).reshape(array.shape)


def _reason(error: Exception) -> str:
    return shorten(without_paths(str(error).partition("\n")[0]), _LONGEST_REASON)
