"""Variants of the kernels beside the one that is used: compared with float64, then timed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...export.bundle.errors import EngineError
from ..schema.gpu import GpuTile
from .correctness import check_variant
from .floor import work
from .gallery import Case
from .scoring import Asked, Limits, built
from .sizes import FULL, Sizes
from .timing import milliseconds, replayed
from .variants import Variant, taking

_BUDGET_MS = 400


def measure(
    case: Case, variant: Variant, flush: Tensor, limits: Limits, sizes: Sizes = FULL, failure: str = ""
) -> GpuTile:
    """The row of a variant: its times, or why there are none.

    Args:
        sizes: of the comparison with float64.
        failure: why it could not be compiled, or ended.
    """
    error = p50 = graph = made = None
    try:
        if failure:
            raise EngineError(failure)
        error = check_variant(variant, case.frames.device, sizes)
        with taking(variant), torch.no_grad():
            asked = Asked.of(case, variant.queries)
            made = built(asked, variant)
            p50 = milliseconds(asked.scores, flush, _BUDGET_MS)[1]
            graph = replayed(asked.scores, flush, _BUDGET_MS)
    # One variant's failure must not end the run of the others.
    except Exception as wrong:
        failure = f"{type(wrong).__name__}: {wrong}"[:400]
    least = work(variant.queries, len(case.frames), case.storage).least_s(limits.copy, limits.matrix)
    return replace(
        unmeasured(variant, len(case.frames), failure),
        p50_ms=p50,
        graph_ms=graph,
        error=error,
        floor_ms=1e3 * least,
        built=made,
    )


def unmeasured(variant: Variant, videos: int, failure: str) -> GpuTile:
    """The row of a variant without times."""
    return GpuTile(storage=variant.storage, queries=variant.queries, videos=videos, tile=variant.sizes, failure=failure)


def line(row: GpuTile) -> str:
    """One row as text."""
    sizes = row.tile
    numbers = (sizes.parts, sizes.queries, sizes.videos, sizes.depth, sizes.warps, sizes.stages)
    told = f"{row.storage:14}{row.queries:5}{row.videos:9}  {sizes.kernel:9}{' '.join(map(str, numbers)):20}"
    if row.p50_ms is None or row.built is None:
        return f"{told} not timed: {row.failure}"
    return f"{told}{row.p50_ms:9.3f} ms, {row.built.registers} registers, {row.built.spills} B of spills"


def fastest(rows: list[GpuTile]) -> GpuTile | None:
    """The fastest of rows of one storage and number of queries that spills nothing; None where there is none."""
    right = [row for row in rows if row.p50_ms is not None and row.built is not None and not row.built.spills]
    return min(right, key=lambda row: row.p50_ms or 0.0, default=None)
