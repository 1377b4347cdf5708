"""Both encoders on a GPU: TensorRT for RTX and ONNX Runtime with the bundle's graphs, against torch.

    python -m framesift.bench.bench_gpu_encoding
    python -m framesift.bench.bench_gpu_encoding --model demo --precision fp16 --work work/gpu --out rows.jsonl

Every contender's record is compared with eager float64 on the same inputs first; one that is further off than its
precision allows is listed and not timed. Times are CUDA events around one call with inputs and outputs in the GPU's
memory. The floor is the encoder's multiplications over the rate of a large matrix product in the same precision,
measured in the same run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..export.bundle.engines.device import sm
from ..export.bundle.engines.flavours import RTX, TENSORRT
from ..export.bundle.engines.profiles import default_limits, profile
from ..export.bundle.errors import EngineError, FramesiftError
from ..export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from ..export.bundle.store import Bundle
from ..export.graphs import TextEncoder, VideoEncoder
from ..export.systems.contract import System
from ..export.tensorrt.build import typed_source
from ..export.tensorrt.builder import Settings, build_engine
from ..export.tensorrt.execution import Engine
from . import rows as results
from .bench_gpu_scoring import machine, milliseconds
from .engine_table import DEMO, LARGE, graphs_bundle, system_named

MODELS = {"demo": DEMO, "vit-b32": LARGE}
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
BATCHES = {VIDEO_ENCODER: (1, 8), TEXT_ENCODER: (1, 64)}
# ||record - float64|| / ||float64||, of the worst tensor of the record.
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
# How torch.compile is asked, None where it isn't.
TORCH = {"torch eager": None, "torch.compile": "default", "torch.compile, graphs": "reduce-overhead"}
Call = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """A way to run an encoder: ``call`` runs it once, ``record`` gives the tensors that the last call wrote."""

    name: str
    call: Call
    record: Callable[[], list[Tensor]]


def inputs(system: System, graph: str, batch: int) -> Tensor:
    """Random pixels uint8 [B, F, H, W, 3], or token ids int64 [B, 16]."""
    if graph == VIDEO_ENCODER:
        port = system.video_inputs[0]
        return torch.randint(0, 256, (batch, *(int(d) for d in port.dims)), dtype=torch.uint8, device="cuda")
    ids = torch.randint(1, system.vocab_size - 1, (batch, 16), device="cuda")
    ids[:, -1] = system.vocab_size - 1
    return ids


def encoder(system: System, graph: str) -> VideoEncoder | TextEncoder:
    """The module of which a graph is the export."""
    return VideoEncoder(system) if graph == VIDEO_ENCODER else TextEncoder(system)


def torch_contenders(system: System, graph: str, given: Tensor, precision: str) -> Iterator[Contender]:
    """Eager torch and torch.compile; in 16 bits under autocast, which keeps norms and softmax in float32."""
    for name, mode in (
        ("torch eager", None),
        ("torch.compile", "default"),
        ("torch.compile, graphs", "reduce-overhead"),
    ):
        run: Any = encoder(system, graph)
        if mode is not None:
            torch._dynamo.reset()
            run = torch.compile(run, mode=mode, dynamic=False)
        kept: list[tuple[Tensor, ...]] = []

        def call(run: Any = run, kept: list[tuple[Tensor, ...]] = kept) -> None:
            torch.compiler.cudagraph_mark_step_begin()
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
            with torch.no_grad(), torch.autocast("cuda", TYPES.get(precision), enabled=precision in TYPES):
                kept[:] = [run(given)]

        yield Contender(name, call, partial(_first, kept))


def engine_contenders(bundle: Bundle, graph: str, given: Tensor, precision: str, work: Path) -> Iterator[Contender]:
    """The engines that can be built here: TensorRT's where it is installed, and those of TensorRT for RTX."""
    source = typed_source(bundle, graph, precision, work)
    for flavour in (TENSORRT, RTX):
        plan_file = work / f"{bundle.root.name}-{graph}-{precision}.{flavour.name}"
        try:
            if not plan_file.exists():
                spans = profile(graph, bundle.manifest, default_limits(bundle.manifest))
                ports = bundle.manifest.graphs[graph]
                targets = (
                    () if flavour.needs_gpu else flavour.check_targets((), sm(*torch.cuda.get_device_capability()))
                )
                settings = Settings(precision=precision, targets=targets)
                plan, _ = build_engine(flavour, graph, source, ports, spans, settings)
                plan_file.write_bytes(plan)
            bound = Engine(flavour, graph, plan_file.read_bytes()).bind({_input(bundle, graph): given})
        except FramesiftError as error:
            print(f"{flavour.title}: {error}", flush=True)
            continue
        names = [port.name for port in bundle.manifest.graphs[graph].outputs]
        yield Contender(flavour.title, bound.run, partial(_named, bound.outputs, names))


def _first(kept: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return list(kept[0])


def _named(outputs: Mapping[str, Tensor], names: list[str]) -> list[Tensor]:
    return [outputs[name] for name in names]


def runtime_contender(bundle: Bundle, graph: str, given: Tensor, precision: str, work: Path) -> Iterator[Contender]:
    """ONNX Runtime's CUDA provider, with inputs and outputs bound to the GPU's memory."""
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return
    source = typed_source(bundle, graph, precision, work)
    own = {"use_tf32": int(precision == "tf32")}
    session = ort.InferenceSession(str(source), providers=[("CUDAExecutionProvider", own), "CPUExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        print("ONNX Runtime: its CUDA provider does not start here", flush=True)
        return
    binding = session.io_binding()
    name = _input(bundle, graph)
    binding.bind_input(name, "cuda", 0, _element(given), tuple(given.shape), given.data_ptr())
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", 0)

    def record() -> list[Tensor]:
        return [torch.from_numpy(value).cuda() for value in binding.copy_outputs_to_cpu()]

    yield Contender("ONNX Runtime, CUDA", lambda: session.run_with_iobinding(binding), record)


def _element(given: Tensor) -> int:
    return {torch.uint8: 2, torch.int64: 7, torch.float32: 1}[given.dtype]


def _input(bundle: Bundle, graph: str) -> str:
    return bundle.manifest.graphs[graph].inputs[0].name


def difference(found: list[Tensor], wanted: tuple[Tensor, ...]) -> float:
    """The largest relative error of a record's tensors; infinite where a shape differs or something isn't finite."""
    worst = 0.0
    for a, b in zip(found, wanted, strict=True):
        error = (a.double() - b).norm() / b.norm() if a.shape == b.shape else torch.tensor(torch.inf)
        worst = max(worst, error.item()) if torch.isfinite(error) else float("inf")
    return worst


def measure(name: str, system: System, bundle: Bundle, graph: str, precision: str, work: Path) -> Iterator[results.Row]:
    """Rows of all contenders in one precision."""
    double = system_named(name).double().folded().cuda()
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    rate = matrix_rate(precision, flush)
    for batch in BATCHES[graph]:
        given = inputs(system, graph, batch)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            wanted = encoder(double, graph)(given)
        floor = 1e3 * counter.get_total_flops() / rate
        for contender in contenders(system, bundle, graph, given, precision, work):
            row: results.Row = {"model": name, "graph": graph, "precision": precision, "batch": batch}
            row |= {"case": contender.name, "floor_ms": floor, "flop_per_s": rate}
            told = f"{name:8}{graph:14}{precision:5}{batch:4} {contender.name:24}"
            try:
                contender.call()
                torch.cuda.synchronize()
                error = difference(contender.record(), wanted)
                if error > TOLERANCE[precision]:
                    raise EngineError(f"off by {error:.1e}")
                p20, p50, p80 = milliseconds(contender.call, flush, 400)
            # What one contender can't do must not end the run of the others.
            except Exception as failure:
                print(f"{told} not timed: {failure}", flush=True)
                yield {**row, "failure": str(failure)[:400]}
                continue
            yield {**row, "error": error, "p20_ms": p20, "p50_ms": p50, "p80_ms": p80, "per_second": 1e3 * batch / p50}
            share = f"{floor / p50:6.1%} of the floor, error {error:.1e}"
            print(f"{told}{p50:9.3f} ms{1e3 * batch / p50:9.0f} /s {share}", flush=True)


def contenders(
    system: System, bundle: Bundle, graph: str, given: Tensor, precision: str, work: Path
) -> Iterator[Contender]:
    """All ways to run an encoder that there are on this machine."""
    yield from torch_contenders(system, graph, given, precision)
    yield from engine_contenders(bundle, graph, given, precision, work)
    yield from runtime_contender(bundle, graph, given, precision, work)


def matrix_rate(precision: str, flush: Tensor) -> float:
    """Operations per second of a large matrix product."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a = torch.randn(8192, 8192, dtype=TYPES.get(precision, torch.float32), device="cuda")
    return 2e3 * 8192**3 / milliseconds(lambda: a @ a, flush, 200)[1]


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m framesift.bench.bench_gpu_encoding",
        description="Check and time both encoders on a CUDA device.",
        epilog="example: python -m framesift.bench.bench_gpu_encoding --model vit-b32 --precision fp16",
    )
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--work", type=Path, default=Path("work/gpu"), help="where graphs and engines are kept")
    parser.add_argument("--out", type=Path, default=results.RESULTS, help="folder of the results")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to measure")
        return 0
    given.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    here = {**machine(torch.device("cuda", 0)), **versions()}
    for name in given.model:
        system = system_named(MODELS[name]).folded().cuda()
        folder = given.work / name
        bundle = Bundle.open(folder) if folder.exists() else graphs_bundle(system_named(MODELS[name]), folder)
        for precision in given.precision:
            for graph in (VIDEO_ENCODER, TEXT_ENCODER):
                found = measure(MODELS[name], system, bundle, graph, precision, given.work)
                results.write("gpu_encoding", ({**row, **here} for row in found), given.out)
    return 0


def versions() -> dict[str, str]:
    """Of what runs graphs, where installed."""
    found = {}
    for package in ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13-bindings"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
