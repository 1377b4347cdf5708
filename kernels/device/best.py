"""The best videos of a search on a device, behind any kernel that stores scores and the largest of each group.

Letters in shapes: Q queries, V videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .keep import LOWEST
from .memory import SCORES_AT_ONCE
from .select_kernel import select_kernel
from .tile import BLOCK, GROUP, LONGEST, SHORTEST, Tile

# Scores float32 [Q, R] of a part of the videos, of those that live (uint8 [R]) has as 0 -inf; the largest of each group
# are put into int32 [Q, R/GROUP], see ``keep``.
Scored = Callable[[slice, Tensor | None, Tensor], Tensor]


def search(
    scored: Scored, queries: int, videos: int, n: int, live: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Each query's ``n`` best videos, best first, of equal scores the lower row first.

    Args:
        scored: starts the scorer's kernel.
        n: at least 1.
        live: uint8 [V], 0 where a row is to be left out; None: all are live.

    Returns:
        Scores float32 [Q, n] and rows int32 [Q, n]; where fewer than n videos are live, -inf and row -1.
    """
    if not queries or not videos:
        return _nothing(queries, n, device)
    step = max(GROUP, SCORES_AT_ONCE // queries // GROUP * GROUP)
    found = []
    for start in range(0, videos, step):
        part = slice(start, min(start + step, videos))
        groups = -(-(part.stop - start) // GROUP)
        largest = torch.full((queries, groups), LOWEST.value, dtype=torch.int32, device=device)
        scores = scored(part, None if live is None else live[part], largest)
        found.append(_selected(scores, largest, start, n))
    if len(found) == 1:
        return found[0]
    return best_of(torch.cat([scores for scores, _ in found], 1), torch.cat([rows for _, rows in found], 1), n)


def _selected(scores: Tensor, largest: Tensor, start: int, n: int) -> tuple[Tensor, Tensor]:
    """The ``n`` best of ``scores`` [Q, V] of the rows from ``start`` on, filled up with nothing."""
    queries, videos = scores.shape
    if n > LONGEST:
        rows = torch.arange(start, start + videos, dtype=torch.int32, device=scores.device).expand_as(scores)
        rows = rows.masked_fill(scores == -torch.inf, -1)
        nothing = _nothing(queries, max(0, n - videos), scores.device)
        return best_of(torch.cat((scores, nothing[0]), 1), torch.cat((rows, nothing[1]), 1), n)
    best = torch.empty(queries, n, dtype=torch.float32, device=scores.device)
    rows = torch.empty(queries, n, dtype=torch.int32, device=scores.device)
    kept = max(SHORTEST, 1 << (n - 1).bit_length())
    with on(scores.device):
        block = min(BLOCK, max(LONGEST, 1 << (largest.shape[1] - 1).bit_length()))
        select_kernel[(queries,)](scores, largest, videos, start, best, rows, kept, n, GROUP, block)
    return best, rows


def best_of(scores: Tensor, rows: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The ``n`` best of float32 ``scores`` [Q, M] of videos ``rows`` int32 [Q, M], of equal scores the lower row first.

    One top-k of int64 keys, which rise with the score and, among equals, fall with the row: torch's own top-k promises
    no order of ties.
    """
    bits = (scores + 0.0).view(torch.int32)
    keys = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long() << 32 | (0x7FFFFFFF - rows.long())
    at = keys.topk(n, dim=1).indices
    return scores.gather(1, at), rows.gather(1, at)


def _nothing(queries: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    scores = torch.full((queries, n), -torch.inf, dtype=torch.float32, device=device)
    return scores, torch.full((queries, n), -1, dtype=torch.int32, device=device)


def capability(device: torch.device) -> int:
    """Compute capability, 90 for 9.0; 80 where there is no GPU, which the interpreter stands for."""
    if device.type != "cuda":
        return 80
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def grid(tile: Tile, queries: int, videos: int, device: torch.device) -> tuple[int, ...]:
    """Programs of a tile's kernel on a device."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count if tile.ring else 1
    return tile.grid(queries, videos, processors)


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Triton kernels start on the current device, wherever their tensors lie."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield
