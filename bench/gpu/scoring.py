"""Scoring on a GPU: the kernels against the published formula, torch.compile and the floor.

Times are CUDA events around one call, with caches flushed before it, as Python makes it and replayed as a CUDA graph.
The floor is the larger of the bytes that must move over the bandwidth of copies and of the operations over the matrix
rate, both measured warm in the same run. Baselines that wouldn't fit in memory run on as many videos as do, and their
time is scaled to the gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...kernels.topk_attention import factorised
from ..schema.gpu import Built, GpuScoring
from .floor import FRAMES, SHAPE, TOP_K, work
from .gallery import Case
from .timing import copy_rate, int8_rate, matrix_rate, milliseconds, read_rate, replayed
from .variants import Variant

# Embeddings that are kept for the published formula, and pairs that it holds at once: a [pairs, D] tensor in float32 is
# 2 GiB then.
RAW, _PUBLISHED_PAIRS = 16_384, 1 << 20
# Bytes that logits, readouts and weights of the compiled baseline may fill, and the largest scale that says something.
_COMPILED_BYTES, MOST_SCALED = 8 << 30, 16
BEST = 10
COMPILED = "factorised, max-autotune"


@dataclass(frozen=True)
class Limits:
    """What the device reaches a second: bytes read and written by a copy, bytes read by a sum, operations of matrix
    products of float16 and of int8."""

    copy: float
    matrix: float
    read: float
    int8: float

    @staticmethod
    def measured(flush: Tensor) -> Limits:
        """By this device, now."""
        return Limits(copy_rate(flush), matrix_rate(torch.float16, flush), read_rate(flush), int8_rate(flush))


@dataclass(frozen=True)
class Asked:
    """Queries against a gallery: raw text [Q, D], and the arguments of the kernel's functions."""

    case: Case
    text: Tensor
    inputs: tuple[Any, ...]

    @staticmethod
    def of(case: Case, queries: int) -> Asked:
        """Random queries."""
        text, *vectors = case.text(queries)
        return Asked(case, text, (*vectors, case.frames, case.table, case.mean))

    def scores(self) -> Tensor:
        """Scores [Q, V] by the kernel."""
        from ...kernels.topk_attention import launch

        return launch.score(*self.inputs, top_k=TOP_K, heads=1)

    def search(self, live: Tensor | None = None, n: int = BEST) -> tuple[Tensor, Tensor]:
        """Scores and rows [Q, n] of the best by the kernel, among the ``live`` ones [V]."""
        from ...kernels.topk_attention import launch

        alive = None if live is None else live.to(torch.uint8)
        return launch.search(*self.inputs, top_k=TOP_K, heads=1, live=alive, n=n)


def built(asked: Asked, variant: Variant) -> Built:
    """What the kernel of the launcher takes, which must be that of ``variant``."""
    from ...kernels.topk_attention import launch
    from ...kernels.topk_attention.text import prepared

    u, w, tau, frames, table, mean = asked.inputs
    how = launch.plan_for(u, frames, TOP_K, 1)
    assert how.tile == variant.tile, "the launcher takes another tile"
    out = torch.empty(len(u), len(frames), device=frames.device)
    made = launch.launched(how, prepared(how, u, w), tau, frames, table, mean, out)
    return Built(variant.sizes, made.n_regs, made.n_spills, made.metadata.shared)


def measure(
    case: Case, variant: Variant, flush: Tensor, limits: Limits, error: float, baselines: tuple[str, ...] = ()
) -> Iterator[GpuScoring]:
    """Time a variant that is right, within ``variants.taking``: a row for its scores, its search, and every baseline.

    Args:
        error: of the variant, as found by ``correctness``.
        baselines: "eager" and "compiled".
    """
    asked, videos, queries = Asked.of(case, variant.queries), len(case.frames), variant.queries
    told = built(asked, variant)
    needed = work(queries, videos, case.storage)
    # int8 is multiplied as such by one kernel, which does it twice: once for each part of the text.
    rate = limits.int8 / 2 if variant.tile.kernel == "pingpong" and case.storage == "int8" else limits.matrix
    bytes_ms, products_ms = 1e3 * needed.bytes / limits.copy, 1e3 * needed.operations / rate
    timed: list[tuple[str, Callable[[], Any], float, Built | None]] = [
        ("kernel scores", asked.scores, 1.0, told),
        (f"kernel search, {BEST} best", asked.search, 1.0, told),
    ]
    timed += [(*_baseline(asked, name), None) for name in baselines]
    for name, call, scale, tile in timed:
        if scale > MOST_SCALED and name == COMPILED:
            continue
        with torch.no_grad():
            p20, p50, p80 = (scale * time for time in milliseconds(call, flush))
            # torch.compile has graphs of its own.
            graph = scale * replayed(call, flush) if tile else None
        yield GpuScoring(
            case=name,
            storage=case.storage,
            queries=queries,
            videos=videos,
            p20_ms=p20,
            p50_ms=p50,
            p80_ms=p80,
            floor_ms=max(bytes_ms, products_ms),
            scaled_by=scale,
            error=error,
            copy_bytes_per_s=limits.copy,
            matrix_flop_per_s=limits.matrix,
            graph_ms=graph,
            ceiling="bytes" if bytes_ms > products_ms else "products",
            read_bytes_per_s=limits.read,
            int8_op_per_s=limits.int8,
            built=tile,
        )


def line(row: GpuScoring) -> str:
    """One row as text."""
    return (
        f"{row.storage:14}{row.queries:5}{row.videos:9}  {row.case:28}{row.p50_ms:10.3f} ms"
        f"{'' if row.graph_ms is None else f', graph {row.graph_ms:.3f}'}{row.p50_ms / row.floor_ms:9.1f} x floor"
    )


def held_by(baseline: str, queries: int, videos: int, raw: int) -> int:
    """As many videos as a baseline holds at once."""
    if baseline == "eager":
        return max(1, min(raw, videos, _PUBLISHED_PAIRS // queries))
    return max(1, min(videos, _COMPILED_BYTES // (3 * 4 * FRAMES * queries)))


def _baseline(asked: Asked, name: str) -> tuple[str, Callable[[], Any], float]:
    case, queries = asked.case, len(asked.text)
    held = held_by(name, queries, len(case.frames), len(case.raw))
    scale = len(case.frames) / held
    if name == "eager":
        raw = case.raw[:held]
        return "published, eager", lambda: case.head(asked.text, raw), scale
    frames, vectors = case.frames[:held], asked.inputs[:3]
    # Unpacked before the clock starts: how tables lie is the kernels' own affair.
    tables = case.tables(held)[:, : SHAPE.rows].contiguous()

    def compiled() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast("cuda", dtype=torch.float16):
            _compiled()(*vectors, frames, tables, SHAPE)

    return COMPILED, compiled, scale


@cache
def _compiled() -> Callable[..., Any]:
    """With CUDA graphs, and products chosen among all that its authors' compiler knows."""
    return torch.compile(factorised.score, mode="max-autotune", fullgraph=True, dynamic=False)
