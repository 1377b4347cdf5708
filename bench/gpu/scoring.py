"""Scoring on a GPU: the kernels against the published formula, torch.compile and the floor.

Times are CUDA events around one call, with caches flushed before it, as Python makes it and replayed as a CUDA graph.
The floor is the larger of the bytes that must move over the bandwidth of copies and of the operations over the matrix
rate, both measured warm in the same run. Baselines that wouldn't fit in memory run on as many videos as do, and their
time is scaled to the gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...kernels.topk_attention import factorised
from ..schema.gpu import Built, GpuScoring
from .floor import FRAMES, SHAPE, TOP_K, work
from .gallery import Case
from .timed import Way, timed
from .timing import copy_rate, int8_rate, matrix_rate, optimised, read_rate
from .variants import Variant, code

# Pairs that the published formula holds at once: a [pairs, D] tensor in float32 is 2 GiB then.
_PUBLISHED_PAIRS = 1 << 20
# Bytes that logits, readouts and weights of the compiled baseline may fill, and the largest scale that says something.
_COMPILED_BYTES, MOST_SCALED = 8 << 30, 16
BEST = 10
CASES = ("kernel", "eager", "compiled")
SCORES, SEARCH, COMPILED = "kernel scores", f"kernel search, {BEST} best", "factorised, max-autotune"


@dataclass(frozen=True)
class Limits:
    """What the device reaches a second: bytes read and written by a copy, bytes read by a sum, operations of matrix
    products of float16 and of int8, None where there is none."""

    copy: float
    matrix: float
    read: float
    int8: float | None

    @staticmethod
    def measured(flush: Tensor) -> Limits:
        """By this device, now."""
        try:
            int8 = int8_rate(flush)
        # Few figures need it, and all need the others.
        except RuntimeError:
            int8 = None
        return Limits(copy_rate(flush), matrix_rate(torch.float16, flush), read_rate(flush), int8)

    def __str__(self) -> str:
        int8 = "none" if self.int8 is None else f"{self.int8 / 1e12:.0f} T operations/s"
        return (
            f"copies {self.copy / 1e12:.2f} TB/s, reads {self.read / 1e12:.2f} TB/s, float16 "
            f"{self.matrix / 1e12:.0f} T operations/s, int8 {int8}"
        )


@dataclass(frozen=True)
class Asked:
    """Queries against a gallery: raw text [Q, D], and the arguments of the kernel's functions."""

    case: Case
    text: Tensor
    inputs: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.case.storage}, {len(self.text)} queries"

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
    return code(made, variant.sizes)


def measure(
    asked: Asked,
    variant: Variant,
    flush: Tensor,
    limits: Limits,
    error: float,
    cases: Sequence[str],
    failed: Callable[[str], None],
) -> Iterator[GpuScoring]:
    """Time a variant that is right, within ``variants.taking``: a row for each of ``cases`` that can be run.

    Args:
        error: of the variant, as found by ``correctness``.
        cases: some of ``CASES``: the kernel's scores and its search, and both baselines.
        failed: is told why one can't be run.
    """
    case, videos, queries = asked.case, len(asked.case.frames), variant.queries
    told = built(asked, variant) if "kernel" in cases else None
    needed = work(queries, videos, case.storage)
    # int8 is multiplied as such by one kernel, which does it twice: once for each part of the text.
    parted = variant.tile.ring and case.storage == "int8" and limits.int8 is not None
    rate = limits.int8 / 2 if parted and limits.int8 else limits.matrix
    bytes_ms, products_ms = 1e3 * needed.bytes / limits.copy, 1e3 * needed.operations / rate
    ways = [] if told is None else [Way(SCORES, asked.scores, built=told), Way(SEARCH, asked.search, built=told)]
    ways += [_baseline(asked, name) for name in ("eager", "compiled") if name in cases]
    ways = [way for way in ways if way.name != COMPILED or way.scale <= MOST_SCALED]
    for times in timed(ways, flush, lambda wrong: failed(f"{asked}, {wrong}")):
        yield GpuScoring(
            **times,
            storage=case.storage,
            queries=queries,
            videos=videos,
            floor_ms=max(bytes_ms, products_ms),
            error=error,
            copy_bytes_per_s=limits.copy,
            matrix_flop_per_s=limits.matrix,
            ceiling="bytes" if bytes_ms > products_ms else "products",
            read_bytes_per_s=limits.read,
            int8_op_per_s=limits.int8,
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


def _baseline(asked: Asked, name: str) -> Way:
    case, queries = asked.case, len(asked.text)
    held = held_by(name, queries, len(case.frames), len(case.raw))
    scale = len(case.frames) / held
    if name == "eager":
        raw = case.raw[:held]
        return Way("published, eager", lambda: case.head(asked.text, raw), scale)
    frames, vectors = case.frames[:held], asked.inputs[:3]
    # Unpacked before the clock starts: how tables lie is the kernels' own affair.
    tables = case.tables(slice(0, held))[:, : SHAPE.rows].contiguous()
    run, kind = _compiled(frames.device.type), frames.device.type

    def compiled() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(kind, dtype=torch.float16):
            run(*vectors, frames, tables, SHAPE)

    return Way(COMPILED, compiled, scale)


@cache
def _compiled(kind: str) -> Any:
    """With CUDA graphs, and products chosen among all that its authors' compiler knows."""
    return optimised(factorised.score, "max-autotune", torch.device(kind), whole=True)
