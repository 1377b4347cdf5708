"""The ways to run an encoder on a GPU: eager and compiled torch, TensorRT's engines, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...export.bundle.engines.device import sm
from ...export.bundle.engines.flavours import RTX, TENSORRT, Flavour
from ...export.bundle.engines.profiles import default_limits, profile
from ...export.bundle.errors import EngineError, FramesiftError
from ...export.bundle.ports import VIDEO_ENCODER
from ...export.bundle.store import Bundle
from ...export.graphs import TextEncoder, VideoEncoder
from ...export.systems.contract import System
from ...export.tensorrt.build import typed_source
from ...export.tensorrt.builder import Settings, build_engine
from ...export.tensorrt.execution import Engine

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
# How torch.compile is asked, None where it isn't.
_MODES = {"torch eager": None, "torch.compile": "default", "torch.compile, graphs": "reduce-overhead"}
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
    """All ways to run an encoder that there are on this machine."""
    for name, mode in _MODES.items():
        yield _torch(given, name, mode)
    for flavour in (TENSORRT, RTX):
        try:
            yield _engine(given, flavour)
        except FramesiftError as error:
            yield Contender(flavour.title, failure=str(error))
    try:
        yield _runtime(given)
    except FramesiftError as error:
        yield Contender("ONNX Runtime, CUDA", failure=str(error))


def encoder(system: System, graph: str) -> VideoEncoder | TextEncoder:
    """The module of which a graph is the export."""
    return VideoEncoder(system) if graph == VIDEO_ENCODER else TextEncoder(system)


def _torch(given: Given, name: str, mode: str | None) -> Contender:
    """Torch, in 16 bits under autocast, which keeps norms and softmax in float32."""
    run: Any = encoder(given.system, given.graph)
    if mode is not None:
        torch._dynamo.reset()
        run = torch.compile(run, mode=mode, dynamic=False)
    dtype = TYPES.get(given.precision)
    kept: list[Tensor] = []

    def call() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = given.precision == "tf32"
        with torch.no_grad(), torch.autocast("cuda", dtype, enabled=dtype is not None):
            kept[:] = run(given.tensor)

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


def _runtime(given: Given) -> Contender:
    """ONNX Runtime's CUDA provider, with inputs and outputs bound to the GPU's memory.

    Raises:
        EngineError: it is not installed, or does not start here.
    """
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise EngineError("onnxruntime has no CUDA provider: pip install onnxruntime-gpu")
    own = {"use_tf32": int(given.precision == "tf32")}
    providers = [("CUDAExecutionProvider", own), "CPUExecutionProvider"]
    session = ort.InferenceSession(str(given.source()), providers=providers)
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise EngineError("onnxruntime's CUDA provider does not start here")
    binding, tensor = session.io_binding(), given.tensor
    binding.bind_input(given.name, "cuda", 0, _ELEMENTS[tensor.dtype], tuple(tensor.shape), tensor.data_ptr())
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", 0)
    return Contender(
        "ONNX Runtime, CUDA",
        lambda: session.run_with_iobinding(binding),
        lambda: [torch.from_numpy(value).cuda() for value in binding.copy_outputs_to_cpu()],
    )
