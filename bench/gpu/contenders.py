"""The ways to run an encoder on a GPU: eager and compiled torch, TensorRT's engines, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...export.bundle.engines.device import sm
from ...export.bundle.engines.flavours import RTX, TENSORRT, Flavour
from ...export.bundle.engines.profiles import default_limits, profile
from ...export.bundle.errors import EngineError
from ...export.bundle.ports import VIDEO_ENCODER
from ...export.bundle.store import Bundle
from ...export.graphs import TextEncoder, VideoEncoder
from ...export.systems.contract import System
from ...export.tensorrt.build import typed_source
from ...export.tensorrt.builder import Settings, build_engine
from ...export.tensorrt.execution import Engine
from .timing import optimised

# The two ways in which the embedded server can run a graph on a GPU.
BOUND, RECORDED = "ONNX Runtime, CUDA", "ONNX Runtime, CUDA graphs"
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
EAGER, GRAPHS = "torch eager", "torch.compile, graphs"
# How torch.compile is asked, None where it isn't.
_MODES = {EAGER: None, GRAPHS: "reduce-overhead", "torch.compile": "default"}
_ELEMENTS = {torch.uint8: 2, torch.int64: 7, torch.float32: 1}


@dataclass(frozen=True)
class Given:
    """What is encoded, and how: an input of a graph of a bundle, which is the export of ``system``.

    Attributes:
        work: keeps typed graphs and engines.
    """

    system: System
    bundle: Bundle
    graph: str
    precision: str
    work: Path
    tensor: Tensor

    @property
    def name(self) -> str:
        """Of the graph's input."""
        return self.bundle.manifest.graphs[self.graph].inputs[0].name

    def source(self) -> Path:
        """The graph in this precision."""
        return typed_source(self.bundle, self.graph, self.precision, self.work)


@dataclass(frozen=True)
class Contender:
    """A way to run an encoder: ``call`` runs it once, ``record`` gives the tensors that the last call wrote.

    Attributes:
        failure: why there is no such way here; the others are not set then.
    """

    name: str
    call: Callable[[], Any] = lambda: None
    record: Callable[[], list[Tensor]] = list
    failure: str = ""


def contenders(given: Given) -> Iterator[Contender]:
    """All ways to run an encoder that there are on this machine, those that a figure is promised of first."""
    names = list(_MODES)
    for name in names[:2]:
        yield by_torch(given.system, given.graph, given.precision, given.tensor, name)
    for name, recorded in ((BOUND, False), (RECORDED, True)):
        yield _tried(name, partial(_runtime, given, name, recorded))
    for name in names[2:]:
        yield by_torch(given.system, given.graph, given.precision, given.tensor, name)
    for flavour in (TENSORRT, RTX):
        yield _tried(flavour.title, partial(_engine, given, flavour))


def _tried(name: str, make: Callable[[], Contender]) -> Contender:
    try:
        return make()
    # Builders' and providers' errors are of many classes.
    except Exception as error:
        return Contender(name, failure=str(error)[:400])


def encoder(system: System, graph: str) -> VideoEncoder | TextEncoder:
    """The module of which a graph is the export."""
    return VideoEncoder(system) if graph == VIDEO_ENCODER else TextEncoder(system)


def by_torch(system: System, graph: str, precision: str, tensor: Tensor, name: str) -> Contender:
    """Torch, in 16 bits under autocast, which keeps norms and softmax in float32."""
    run: Any = encoder(system, graph)
    if (mode := _MODES[name]) is not None:
        torch._dynamo.reset()
        run = optimised(run, mode, tensor.device)
    dtype, kind = TYPES.get(precision), tensor.device.type
    kept: list[Tensor] = []

    def call() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        with torch.no_grad(), torch.autocast(kind, dtype, enabled=dtype is not None):
            kept[:] = run(tensor)

    return Contender(name, call, lambda: kept)


def _engine(given: Given, flavour: Flavour) -> Contender:
    """An engine that is built here, unless an earlier run left it.

    Raises:
        FramesiftError: it can't be built, or not run.
    """
    bundle, graph = given.bundle, given.graph
    plan_file = given.work / f"{bundle.root.name}-{graph}-{given.precision}.{flavour.name}"
    if not plan_file.exists():
        spans = profile(graph, bundle.manifest, default_limits(bundle.manifest))
        device = sm(*torch.cuda.get_device_capability())
        settings = Settings(
            precision=given.precision, targets=() if flavour.needs_gpu else flavour.check_targets((), device)
        )
        plan, _ = build_engine(flavour, graph, given.source(), bundle.manifest.graphs[graph], spans, settings)
        plan_file.write_bytes(plan)
    bound = Engine(flavour, graph, plan_file.read_bytes()).bind({given.name: given.tensor})
    names = [port.name for port in bundle.manifest.graphs[graph].outputs]
    return Contender(flavour.title, bound.run, lambda: [bound.outputs[name] for name in names])


def _runtime(given: Given, name: str, recorded: bool) -> Contender:
    """ONNX Runtime's CUDA provider, with inputs and outputs bound to the GPU's memory, or replayed as a CUDA graph.

    A dry run binds them to this machine's memory.

    Raises:
        EngineError: it is not installed, or does not start here.
    """
    import onnxruntime as ort

    tensor, options = given.tensor, ort.RunOptions()
    place = tensor.device.type
    provider = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}[place]
    if provider not in ort.get_available_providers():
        raise EngineError("onnxruntime has no CUDA provider: pip install onnxruntime-gpu")
    own = {"use_tf32": int(given.precision == "tf32"), "enable_cuda_graph": int(recorded)} if place == "cuda" else {}
    session = ort.InferenceSession(str(given.source()), providers=[(provider, own)])
    if session.get_providers()[0] != provider:
        raise EngineError("onnxruntime's CUDA provider does not start here")
    binding = session.io_binding()
    binding.bind_input(given.name, place, 0, _ELEMENTS[tensor.dtype], tuple(tensor.shape), tensor.data_ptr())
    names = [output.name for output in session.get_outputs()]
    for output in names:
        binding.bind_output(output, place, 0)
    if recorded:
        # Outputs of a graph lie where they lay when it was recorded; how large they are tells a call that isn't.
        options.add_run_config_entry("gpu_graph_id", "-1")
        session.run_with_iobinding(binding, options)
        sizes = [value.shape for value in binding.copy_outputs_to_cpu()]
        binding.clear_binding_outputs()
        for output, size in zip(names, sizes, strict=True):
            room = ort.OrtValue.ortvalue_from_shape_and_type(size, np.float32, place, 0)
            binding.bind_ortvalue_output(output, room)
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", "0")
    return Contender(
        name,
        lambda: session.run_with_iobinding(binding, options),
        lambda: [torch.from_numpy(value).to(place) for value in binding.copy_outputs_to_cpu()],
    )
