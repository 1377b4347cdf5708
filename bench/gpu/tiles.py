"""Other tiles of the Triton kernel than those of ``configs``, timed; none of them is checked for spills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import torch
from torch import Tensor

from ...kernels.topk_attention import configs
from ..schema.gpu import GpuTile, TileSizes
from .gallery import Case
from .scoring import Asked
from .timing import milliseconds

CANDIDATES: dict[str, tuple[configs.Tile, ...]] = {
    "few": (
        configs.Tile(2, 8, 32, 32, 4, 2),
        configs.Tile(2, 8, 32, 32, 4, 3),
        configs.Tile(2, 8, 32, 32, 4, 4),
        configs.Tile(2, 8, 32, 64, 4, 2),
        configs.Tile(2, 8, 32, 64, 4, 3),
    ),
    "some": (
        configs.Tile(1, 16, 32, 32, 4, 2),
        configs.Tile(1, 16, 32, 32, 4, 3),
        configs.Tile(1, 16, 32, 32, 4, 4),
        configs.Tile(1, 16, 32, 64, 4, 2),
    ),
    "many": (
        configs.Tile(1, 64, 8, 32, 4, 3),
        configs.Tile(1, 64, 8, 32, 4, 4),
        configs.Tile(1, 64, 8, 64, 4, 2),
        configs.Tile(1, 64, 8, 64, 4, 3),
        configs.Tile(1, 128, 8, 64, 8, 2),
    ),
}


def measure(case: Case, queries: int, flush: Tensor) -> Iterator[GpuTile]:
    """A row for every candidate of a number of queries; one that does not compile or start says why."""
    major, minor = torch.cuda.get_device_capability(case.frames.device)
    key = max(a for a in configs.ARCHITECTURES if a <= 10 * major + minor), configs.regime(queries)
    asked, chosen = Asked.of(case, queries), configs.TILES[key]
    try:
        for tile in CANDIDATES[key[1]]:
            configs.TILES[key] = tile
            yield _row(asked, tile, flush)
    finally:
        configs.TILES[key] = chosen


def line(row: GpuTile) -> str:
    """One row as text."""
    told = row.failure or f"{row.p50_ms:.3f} ms"
    return f"{row.storage:14}{row.queries:5}{row.videos:9}  {' '.join(map(str, asdict(row.tile).values())):22}{told}"


def _row(asked: Asked, tile: configs.Tile, flush: Tensor) -> GpuTile:
    p50, failure = None, ""
    try:
        p50 = milliseconds(asked.scores, flush)[1]
    # One tile's failure must not end the run of the others.
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"[:400]
    sizes = TileSizes(**asdict(tile))
    case = asked.case
    return GpuTile(
        storage=case.storage,
        queries=len(asked.text),
        videos=len(case.frames),
        tile=sizes,
        p50_ms=p50,
        failure=failure,
    )
