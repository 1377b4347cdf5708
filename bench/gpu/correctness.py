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
from ...kernels.topk_attention import configs
from .gallery import Case, exact, gallery
from .scoring import BEST, Asked
from .variants import Variant, taking

# Scores lie in [-1, 1]; text vectors of many queries are rounded to the storage's 16 bits.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "int8": 2e-3, "float8_e4m3fn": 2e-3}
# Of each regime, at and beside the edges of tiles.
QUERIES = {"few": (1, 3, 8), "some": (9, 16), "many": (17, 64, 255, 256)}
# Videos that fill no tile and no group, and how many of them are compared with float64.
VIDEOS, _COMPARED = 20_011, 512
_LONG = 33


def check_variant(variant: Variant, device: torch.device, *, videos: int = VIDEOS, seeds: int = 2) -> float:
    """The largest error of a variant, over all numbers of queries of its regime.

    Raises:
        EngineError: it is wrong; the message says where first.
    """
    worst = 0.0
    for seed in range(seeds):
        torch.manual_seed(1000 + seed)
        case = with_ties(gallery(videos, variant.storage, device, raw=1))
        for queries in QUERIES[configs.regime(variant.queries)]:
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
    told = f"{case.storage}, {len(asked.text)} queries"
    few = min(len(case.frames), _COMPARED)
    u, w, tau = asked.inputs[:3]
    expected, clear = exact(case, u, w, tau, few)
    with poisoned():
        scores = asked.scores()
    if scores.isnan().any():
        raise EngineError(f"{told}: {int(scores.isnan().sum())} scores were not written, or are NaN")
    error = (scores[:, :few] - expected)[clear].abs().max().item()
    if not error <= TOLERANCE[case.storage]:
        raise EngineError(f"{told}: scores are off by {error:.1e}")
    videos = len(case.frames)
    dead = torch.rand(videos, device=scores.device) < 0.3
    for live, n in ((None, BEST), (~dead, BEST), (~dead, _LONG)):
        n = min(n, videos if live is None else int(live.sum()))
        left = scores if live is None else scores.masked_fill(~live, -torch.inf)
        best = left.sort(dim=1, descending=True, stable=True)
        with poisoned():
            found, rows = asked.search(live, n)
        if not torch.equal(rows.long(), best.indices[:, :n]) or not torch.equal(found, best.values[:, :n]):
            raise EngineError(f"{told}: the {n} best videos are not those of the scores")
    return error


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
