"""Both encoders on a GPU: TensorRT for RTX and ONNX Runtime with the bundle's graphs, against torch.

Every contender's record is compared with eager float64 on the same inputs first; one that is further off than its
precision allows has a row that says so, and is not timed. Times are CUDA events around one call with inputs and outputs
in the GPU's memory. The floor is the encoder's multiplications over the rate of a large matrix product in the same
precision, measured in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ...export.bundle.errors import EngineError
from ...export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.store import Bundle
from ...export.systems.contract import System
from ..inputs.graphs_bundle import graphs_bundle
from ..inputs.models import system_of
from ..schema.gpu import GpuEncoding
from .contenders import BOUND, RECORDED, TYPES, Contender, Given, contenders, encoder
from .timing import flush_for, matrix_rate, milliseconds, settle

BATCHES = {VIDEO_ENCODER: (1, 8), TEXT_ENCODER: (1, 64)}
# ||record - float64|| / ||float64||, of the worst tensor of the record.
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}
# Packages that run graphs, whose versions a row holds.
PACKAGES = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13-bindings")
_WORDS = 16
_BUDGET_MS = 400


def measure(
    model: str, precision: str, work: Path, device: torch.device, batches: Mapping[str, Sequence[int]] = BATCHES
) -> Iterator[GpuEncoding]:
    """Rows of all contenders for encoders of a model in one precision."""
    bundle = exported(model, work)
    system, double = system_of(model).folded().to(device), system_of(model).double().folded().to(device)
    flush = flush_for(device)
    rate = matrix_rate(TYPES.get(precision, torch.float32), flush, tf32=precision == "tf32")
    for graph, sizes in batches.items():
        for batch in sizes:
            given = Given(system, bundle, graph, precision, work, inputs(system, graph, batch, device))
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                wanted = encoder(double, graph)(given.tensor)
            floor_ms = 1e3 * counter.get_total_flops() / rate
            about = GpuEncoding(model=model, graph=graph, precision=precision, batch=batch, case="")
            for contender in contenders(given):
                yield timed(contender, wanted, replace(about, case=contender.name), flush, floor_ms)


def exported(model: str, work: Path) -> Bundle:
    """The graphs of a model in the folder ``work``, from an earlier run or made now."""
    work.mkdir(parents=True, exist_ok=True)
    folder = work / model
    return Bundle.open(folder) if folder.exists() else graphs_bundle(system_of(model), folder)


def timed(
    contender: Contender, wanted: Sequence[Tensor], about: GpuEncoding, flush: Tensor, floor_ms: float
) -> GpuEncoding:
    """The row ``about`` with the contender's times, or why it was not timed."""
    try:
        if contender.failure:
            raise EngineError(contender.failure)
        contender.call()
        settle(flush.device)
        error = difference(contender.record(), wanted)
        if error > TOLERANCE[about.precision]:
            raise EngineError(f"off by {error:.1e}")
        p20, p50, p80 = milliseconds(contender.call, flush, _BUDGET_MS)
    # One contender's failure must not end the run of the others.
    except Exception as failure:
        return replace(about, failure=str(failure)[:400])
    rate, share = 1e3 * about.batch / p50, floor_ms / p50
    return replace(about, error=error, p20_ms=p20, p50_ms=p50, p80_ms=p80, per_second=rate, floor_share=share)


def inputs(system: System, graph: str, batch: int, device: torch.device) -> Tensor:
    """Random pixels uint8 [B, F, H, W, 3], or token ids int64 [B, 16]."""
    if graph == VIDEO_ENCODER:
        return torch.randint(0, 256, (batch, *system.video_inputs[0].shape), dtype=torch.uint8, device=device)
    ids = torch.randint(1, system.vocab_size - 1, (batch, _WORDS), device=device)
    ids[:, -1] = system.vocab_size - 1
    return ids


def difference(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest relative error of a record's tensors; infinite where a shape differs or something isn't finite."""
    worst = 0.0
    for a, b in zip(found, wanted, strict=True):
        error = (a.double() - b).norm() / b.norm() if a.shape == b.shape else torch.tensor(torch.inf)
        worst = max(worst, error.item()) if torch.isfinite(error) else float("inf")
    return worst


def advice(rows: Sequence[GpuEncoding]) -> list[str]:
    """What the rows of one model in float32 say of ``RECORDED_BATCHES`` in serving/repository/config.py, in words.

    Batches are recorded where replaying them is faster than the same session bound; what is faster than both is named.
    """
    recorded: dict[str, tuple[int, ...]] = {}
    told = []
    for graph, batches in BATCHES.items():
        for batch in batches:
            times = {
                row.case: row.p50_ms
                for row in rows
                if (row.graph, row.batch, row.precision) == (graph, batch, "fp32") and row.p50_ms is not None
            }
            if BOUND not in times:
                continue
            if times.get(RECORDED, float("inf")) < times[BOUND]:
                recorded[graph] = (*recorded.get(graph, ()), batch)
            served = min(times[name] for name in (BOUND, RECORDED) if name in times)
            best = min(times, key=lambda case: times[case])
            if times[best] < served:
                told.append(
                    f"{graph}, batch {batch}: {best} takes {times[best]:.3f} ms, what can be served {served:.3f} ms"
                )
    return [f"for serving/repository/config.py:\nRECORDED_BATCHES: Mapping[str, tuple[int, ...]] = {recorded}", *told]


def line(row: GpuEncoding) -> str:
    """One row as text."""
    told = f"{row.model:8}{row.graph:14}{row.precision:5}{row.batch:4} {row.case:24}"
    if row.p50_ms is None:
        return f"{told} not timed: {row.failure}"
    return (
        f"{told}{row.p50_ms:9.3f} ms{row.per_second:9.0f} /s {row.floor_share:6.1%} of the floor, error {row.error:.1e}"
    )
