"""A tower by every engine: ONNX Runtime's providers, eager and compiled PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...export.build import eager_system
from ...export.bundle.sessions import session_options
from ...export.bundle.store import Bundle
from ...export.graphs import graphs
from ...export.parity_rows import row
from ...export.systems.contract import System
from .case import COMPILED, EAGER, ONNX, Case, Run, Spec

# ONNX Runtime's providers; all but the first are tried where they are installed.
_PROVIDERS = {
    ONNX: "CPUExecutionProvider",
    f"{ONNX}, CUDA": "CUDAExecutionProvider",
    f"{ONNX}, TensorRT": "TensorrtExecutionProvider",
}


class Towers:
    """Both towers of a bundle; a session or a compiled module that several cases need is made once.

    Args:
        narrow, wide: its system in float32 and in float64.
        wanted: whether an engine of that name shall run.
    """

    def __init__(self, bundle: Bundle, narrow: System, wide: System, wanted: Callable[[str], bool]) -> None:
        self._bundle, self._wanted = bundle, wanted
        self._narrow, self._wide = narrow, wide
        self._made: dict[tuple[str, str], Any] = {}

    def case(self, spec: Spec, graph: str, inputs: Sequence[Tensor]) -> Case:
        """Every engine on ``inputs``; what each must be as near to float64 as an exported graph."""
        with torch.inference_mode():
            reference = graphs(self._wide)[graph](*(x.double() if x.is_floating_point() else x for x in inputs))

        def fault(found: Sequence[NDArray[Any]]) -> str | None:
            rows = [row(spec.stage, mine, want) for mine, want in zip(found, reference, strict=True)]
            worst = max(rows, key=lambda one: one.rms_error)
            return None if all(one.ok for one in rows) else f"max {worst.max_error:.1e}, RMS {worst.rms_error:.1e}"

        return Case(spec, dict(self._engines(graph, inputs)), fault)

    def _engines(self, graph: str, inputs: Sequence[Tensor]) -> Iterator[tuple[str, Run]]:
        ports = self._bundle.manifest.graphs[graph].inputs
        feeds = {port.name: x.numpy() for port, x in zip(ports, inputs, strict=True)}
        present = set(ort.get_available_providers())
        for name, provider in _PROVIDERS.items():
            if provider in present and self._wanted(name):
                yield name, partial(self._session(graph, provider).run, None, feeds)
        # A compiled module needs a C++ compiler.
        places = [(EAGER, "cpu"), *([(COMPILED, "cpu")] if shutil.which("g++") else [])]
        if torch.cuda.is_available():
            places += [(f"{EAGER}, CUDA", "cuda"), (f"{COMPILED}, CUDA", "cuda")]
        for name, device in places:
            if self._wanted(name):
                yield name, partial(_run, self._module(graph, name), [x.to(device) for x in inputs])

    def _session(self, graph: str, provider: str) -> Any:
        if (graph, provider) not in self._made:
            # As they are served; threads that spin would also take time from the engine that comes next.
            options = session_options(torch.get_num_threads())
            path = str(self._bundle.graph(graph))
            self._made[graph, provider] = ort.InferenceSession(path, options, providers=[provider])
        return self._made[graph, provider]

    def _module(self, graph: str, name: str) -> Any:
        if (graph, name) not in self._made:
            module: nn.Module = graphs(self._narrow)[graph]
            if name.endswith("CUDA"):
                # Another copy: the first one stays on the CPU.
                module = graphs(eager_system(self._bundle).eval())[graph].cuda()
            self._made[graph, name] = torch.compile(module) if name.startswith(COMPILED) else module
        return self._made[graph, name]


def _run(module: nn.Module, given: Sequence[Tensor]) -> list[NDArray[Any]]:
    with torch.inference_mode():
        return [x.cpu().numpy() for x in module(*given)]
