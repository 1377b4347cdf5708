"""Scoring on a GPU: the fused Triton kernel against the published formula, torch.compile and the floor.

Results are compared with float64 first; a kernel that differs is not timed. Times are CUDA events around one call, with
caches flushed before it. The floor is the larger of the bytes that must move over the copy bandwidth and of the
operations over the matrix rate, both measured in the same run. Baselines that wouldn't fit in memory run on as many
videos as do, and their time is scaled to the gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...export.bundle.errors import EngineError
from ...kernels.topk_attention import factorised
from ..schema.gpu import GpuScoring
from .floor import SHAPE, TOP_K, work
from .gallery import Case, exact
from .timing import copy_rate, matrix_rate, milliseconds

# Scores lie in [-1, 1]; text vectors of many queries are rounded to the storage's 16 bits.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "int8": 2e-3, "float8_e4m3fn": 2e-3}
# Embeddings that are kept for the baselines, and pairs that one holds at once: published, a [pairs, D] tensor in
# float32 is 2 GiB then.
RAW, _BASELINE_PAIRS = 16_384, 1 << 20
# Videos whose scores are compared with float64.
_CHECKED, _BEST = 512, 10


@dataclass(frozen=True)
class Limits:
    """What the device reaches a second: bytes read and written by a copy, operations of a float16 matrix product."""

    copy: float
    matrix: float

    @staticmethod
    def measured(flush: Tensor) -> Limits:
        """By this device, now."""
        return Limits(copy_rate(flush), matrix_rate(torch.float16, flush))


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

    def search(self) -> tuple[Tensor, Tensor]:
        """Scores and rows [Q, 10] of the best by the kernel."""
        from ...kernels.topk_attention import launch

        return launch.search(*self.inputs, top_k=TOP_K, heads=1, live=None, n=_BEST)


def check(asked: Asked) -> float:
    """The kernel's largest error against float64.

    Raises:
        EngineError: it is more than the storage allows, or the best videos are others or in another order.
    """
    case = asked.case
    few = min(len(case.frames), len(case.raw), _CHECKED)
    u, w, tau = asked.inputs[:3]
    expected, clear = exact(case, u, w, tau, few)
    scores = asked.scores()
    error = (scores[:, :few] - expected)[clear].abs().max().item()
    best = scores.sort(dim=1, descending=True, stable=True).indices[:, :_BEST]
    if not error <= TOLERANCE[case.storage]:
        raise EngineError(f"{case.storage}, {len(asked.text)} queries: scores are off by {error:.1e}")
    if not torch.equal(asked.search()[1].long(), best):
        raise EngineError(f"{case.storage}, {len(asked.text)} queries: the best videos are not those of the scores")
    return error


def measure(case: Case, queries: int, flush: Tensor, limits: Limits) -> Iterator[GpuScoring]:
    """Check and time one number of queries: a row for the kernel's scores, its search, and every baseline.

    Raises:
        EngineError: the kernel is wrong; nothing was timed.
    """
    asked = Asked.of(case, queries)
    error, videos = check(asked), len(case.frames)
    floor = 1e3 * work(queries, videos, case.storage).least_s(limits.copy, limits.matrix)
    timed: list[tuple[str, Callable[[], Any], float]] = [
        ("kernel scores", asked.scores, 1.0),
        ("kernel search, 10 best", asked.search, 1.0),
    ]
    # The baselines read frames as they are, whatever the kernel's storage.
    if case.storage == "float16":
        timed += _baselines(asked)
    for name, call, scale in timed:
        with torch.no_grad():
            p20, p50, p80 = (scale * time for time in milliseconds(call, flush))
        yield GpuScoring(
            case=name,
            storage=case.storage,
            queries=queries,
            videos=videos,
            p20_ms=p20,
            p50_ms=p50,
            p80_ms=p80,
            floor_ms=floor,
            scaled_by=scale,
            error=error,
            copy_bytes_per_s=limits.copy,
            matrix_flop_per_s=limits.matrix,
        )


def line(row: GpuScoring) -> str:
    """One row as text."""
    return (
        f"{row.storage:14}{row.queries:5}{row.videos:9}  {row.case:28}{row.p50_ms:10.3f} ms"
        f"{row.p50_ms / row.floor_ms:9.1f} x floor"
    )


def _baselines(asked: Asked) -> list[tuple[str, Callable[[], Any], float]]:
    case, queries = asked.case, len(asked.text)
    held = max(1, min(len(case.raw), _BASELINE_PAIRS // queries))
    raw, frames = case.raw[:held], case.frames[:held]
    tables, vectors = case.tables(held)[:, : SHAPE.rows].contiguous(), asked.inputs[:3]

    def compiled() -> None:
        with torch.autocast("cuda", dtype=torch.float16):
            _compiled()(*vectors, frames.half(), tables, SHAPE)

    scale = len(case.frames) / held
    return [
        ("published, eager", lambda: case.head(asked.text, raw), scale),
        ("factorised, torch.compile", compiled, scale),
    ]


@cache
def _compiled() -> Callable[..., Any]:
    """Compiled once: its code serves all sizes."""
    return torch.compile(factorised.score)
