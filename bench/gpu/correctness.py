"""Kernels against float64 before they are timed: fresh inputs, outputs that begin as NaN, ties, dead rows, lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from ...export.bundle.errors import EngineError
from ...kernels.device.tile import regime
from .gallery import Case, exact, gallery
from .scoring import BEST, Asked
from .sizes import FULL, Sizes
from .variants import Variant, taking

# Scores lie in [-1, 1]; text vectors of many queries are rounded to the storage's 16 bits.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "int8": 2e-3, "float8_e4m3fn": 2e-3}
# How many videos are compared with float64, at most.
_COMPARED = 512
_LONG = 33


def check_variant(variant: Variant, device: torch.device, sizes: Sizes = FULL) -> float:
    """The largest error of a variant, over all numbers of queries of its regime.

    Raises:
        EngineError: it is wrong; the message says where first.
    """
    worst = 0.0
    for seed in range(sizes.seeds):
        torch.manual_seed(1000 + seed)
        case = with_ties(gallery(sizes.checked, variant.storage, device, raw=1))
        for queries in sizes.counts[regime(variant.queries)]:
            with taking(replace(variant, queries=queries)):
                worst = max(worst, check(Asked.of(case, queries)))
    return worst


def check(asked: Asked) -> float:
    """The largest error of the kernel that the launcher takes, against float64 from what is stored.

    Raises:
        EngineError: it is more than the storage allows, something was not written, or the best videos are others or in
            another order than a stable sort of the scores has them.
    """
    case = asked.case
    scores, error = scored(asked)
    videos = len(case.frames)
    dead = torch.rand(videos, device=scores.device) < 0.3
    for live, n in ((None, BEST), (~dead, BEST), (~dead, _LONG)):
        n = min(n, videos if live is None else int(live.sum()))
        left = scores if live is None else scores.masked_fill(~live, -torch.inf)
        best = left.sort(dim=1, descending=True, stable=True)
        with poisoned():
            found, rows = asked.search(live, n)
        if not torch.equal(rows.long(), best.indices[:, :n]) or not torch.equal(found, best.values[:, :n]):
            raise EngineError(f"{asked}: the {n} best videos are not those of the scores")
    return error


def scored(asked: Asked) -> tuple[Tensor, float]:
    """Scores [Q, V] that the kernel wrote over NaN, and their largest error in the first and the last videos.

    Raises:
        EngineError: it is more than the storage allows, or something was not written.
    """
    case, videos = asked.case, len(asked.case.frames)
    with poisoned():
        scores = asked.scores()
    if scores.isnan().any():
        raise EngineError(f"{asked}: {int(scores.isnan().sum())} scores were not written, or are NaN")
    few, error = min(videos, _COMPARED), 0.0
    u, w, tau = asked.inputs[:3]
    for part in (slice(0, few), slice(videos - few, videos)):
        expected, clear = exact(case, u, w, tau, part)
        error = max(error, (scores[:, part] - expected)[clear].abs().max().item())
    if not error <= TOLERANCE[case.storage]:
        raise EngineError(f"{asked}: scores are off by {error:.1e}")
    return scores, error


def with_ties(case: Case) -> Case:
    """The case with its first videos a second time at its end, to the bit."""
    count = min(64, len(case.frames) // 2)
    start = len(case.frames) - count
    case.frames[start:] = case.frames[:count].clone()
    if case.mean is not None:
        case.mean[start:] = case.mean[:count].clone()
    for row in range(count):
        block, lane = divmod(start + row, case.table.shape[-1])
        case.table[block, :, lane] = case.table[row // 16, :, row % 16]
    return case


@contextmanager
def poisoned() -> Iterator[None]:
    """New tensors hold NaN, or -77, so that what isn't written is seen."""
    full = torch.full

    def empty(*size: Any, dtype: torch.dtype = torch.float32, device: Any = None) -> Tensor:
        return full(size, torch.nan if dtype.is_floating_point else -77, dtype=dtype, device=device)

    with mock.patch.object(torch, "empty", empty):
        yield
