"""Times of one call on a GPU, the rates of its memory and its multipliers, and its description.

Without a GPU, in a dry run, everything is called once or twice, and what is returned as its time says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...export.bundle.engines.device import local_device
from ...export.bundle.errors import EngineError
from ..percentiles import rounds
from ..schema.machine import Machine, here

_LEAST, _MOST = 10, 200
# Products before the first that is timed.
_RISING = 40
# Bytes that are written between calls, and the side of a large matrix: on a GPU, and in a dry run.
_FLUSHED, _SIDE = {"cuda": 512 << 20, "cpu": 1 << 16}, {"cuda": 8192, "cpu": 64}


def cuda() -> torch.device:
    """The device.

    Raises:
        EngineError: there is none.
    """
    if not torch.cuda.is_available():
        raise EngineError("no CUDA device: nothing to measure")
    return torch.device("cuda", torch.cuda.current_device())


def machine(device: torch.device, packages: tuple[str, ...]) -> Machine:
    """What rows are measured on: this machine with its GPU."""
    gpu, on = local_device(), here(("torch", "triton", *packages))
    if device.type != "cuda":
        return on
    return replace(
        on,
        device=torch.cuda.get_device_name(device),
        driver=gpu.driver if gpu else "",
        versions={**on.versions, "cuda": str(torch.version.cuda)},
    )


def flush_for(device: torch.device) -> Tensor:
    """Bytes to write between calls, more than any cache holds."""
    return torch.empty(_FLUSHED[device.type], dtype=torch.uint8, device=device)


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for, and raise what came of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def optimised(function: Callable[..., Any], mode: str, device: torch.device, *, whole: bool = False) -> Any:
    """``function`` by torch.compile, as one graph where ``whole``; in a dry run it is traced, and no code is made."""
    how: dict[str, Any] = {"mode": mode} if device.type == "cuda" else {"backend": "eager"}
    return torch.compile(function, fullgraph=whole, dynamic=False, **how)


def milliseconds(call: Callable[[], Any], flush: Tensor, budget_ms: float = 1000.0) -> tuple[float, float, float]:
    """20th, 50th and 80th percentile of one call with cold caches, by CUDA's events."""
    if flush.device.type != "cuda":
        start = time.perf_counter()
        call()
        return rounds([time.perf_counter() - start])
    for _ in range(3):
        call()
    times: list[float] = []
    while len(times) < _LEAST or (sum(times) < budget_ms and len(times) < _MOST):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        begun.record()
        call()
        ended.record()
        ended.synchronize()
        times.append(begun.elapsed_time(ended))
    return rounds([each / 1e3 for each in times])


def replayed(call: Callable[[], Any], flush: Tensor, budget_ms: float = 500.0) -> float:
    """Median of one call that was captured as a CUDA graph, with cold caches: without the launches from Python."""
    if flush.device.type != "cuda":
        return milliseconds(call, flush)[1]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return milliseconds(graph.replay, flush, budget_ms)[1]


def read_rate(flush: Tensor) -> float:
    """Bytes that a sum reads a second."""
    source = torch.ones(flush.numel(), dtype=torch.int32, device=flush.device)
    return 1e3 * source.numel() * source.element_size() / milliseconds(lambda: source.sum(), flush)[1]


def copy_rate(flush: Tensor) -> float:
    """Bytes that a copy reads and writes a second."""
    source = torch.empty(2 * flush.numel(), dtype=torch.uint8, device=flush.device)
    target = torch.empty_like(source)
    return 2e3 * source.numel() / milliseconds(lambda: target.copy_(source), flush)[1]


def matrix_rate(dtype: torch.dtype, flush: Tensor, *, tf32: bool = False) -> float:
    """Operations a second of a large matrix product."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    side = _SIDE[flush.device.type]
    a = torch.randn(side, side, dtype=dtype, device=flush.device)
    return 2e3 * side**3 / _warm(lambda: a @ a, flush)


def int8_rate(flush: Tensor) -> float:
    """Operations a second of a large matrix product of int8, accumulated in int32."""
    side = _SIDE[flush.device.type]
    a = torch.randint(-127, 128, (side, side), dtype=torch.int8, device=flush.device)
    return 2e3 * side**3 / _warm(lambda: torch._int_mm(a, a.T), flush)


def _warm(call: Callable[[], Any], flush: Tensor) -> float:
    """Milliseconds of one call once the clocks have risen."""
    for _ in range(_RISING):
        call()
    return milliseconds(call, flush, 200)[1]
