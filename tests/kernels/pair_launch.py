"""Scores and searches by the Triton kernels of plain vectors, for any architecture's tiles."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch import Tensor

from framesift.kernels.device import best, pair_scan
from framesift.kernels.device.keep import LOWEST, keep_kernel
from framesift.kernels.device.tile import GROUP, KEPT
from framesift.kernels.device_pairs import on_device
from framesift.kernels.pairs import PairsScan

Arrays = dict[str, Tensor]


def kept_apart(scores: Tensor, live: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores [Q, V] and the largest of each group, as ``keep_kernel`` leaves them."""
    queries, videos = scores.shape
    groups = -(-videos // GROUP)
    largest = torch.full((queries, groups), LOWEST.value, dtype=torch.int32, device=scores.device)
    keep_kernel[(-(-queries // KEPT) * groups,)](scores, live, queries, videos, largest, KEPT, GROUP)
    return scores, largest


def pair_scores(
    scorer: Any,
    text: Arrays,
    records: Arrays,
    matrices: Tensor | None,
    sharpness: float,
    scale: float,
    arch: int | None = None,
    n: int | None = None,
    live: Tensor | None = None,
    parts: bool = False,
) -> Any:
    """Scores, or what a search for ``n`` finds, by the tiles of ``arch``; in ``parts`` of one group each."""
    weights = None if matrices is None else matrices.cpu().numpy()
    given, held = ({key: value.numpy() for key, value in arrays.items()} for arrays in (text, records))
    scan = PairsScan(scorer, given, held, matrices=weights, sharpness=sharpness, scale=scale)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    capability = pair_scan.capability if arch is None else lambda _: arch
    with mock.patch.object(pair_scan, "capability", capability):
        made = on_device(scan, {key: value.to(device) for key, value in records.items()})
    assert made is not None
    with mock.patch.object(best, "SCORES_AT_ONCE", 1 if parts else best.SCORES_AT_ONCE):
        return made.score() if n is None else made.search(n, live=live)
