"""Bytes, seconds and machines for galleries of any size, from what a video takes and what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...export.bundle.spec import TensorSpec
from ...export.bundle.topk_attention import video_record
from ...kernels.topk_attention.coarse import coarser
from ...kernels.topk_attention.layout import HeadShape
from ..gallery.figures import COARSE_FASTER, FASTER
from ..schema.gpu import GpuScoring
from ..schema.rows import GalleryFigure, Stage

# The paper's sizes.
SHAPE = HeadShape(frames=12, width=512, top_k=4)
# Of a certified search, which keeps frames in 8 bits with bounds of their error, and reads the others from the table.
CERTIFIED = 6904
# What a machine's memory holds beside records: the system, models, and the room that a gallery grows into.
_FOR_RECORDS = 0.7


EXACT, CERTIFIED_SEARCH, COARSE_SEARCH = "exact, float16", "certified", "coarse, one average"


@dataclass(frozen=True)
class Kept:
    """How a gallery is kept: ``bytes`` of a video in memory, and how many times ``faster`` than exact a search is."""

    name: str
    bytes: int
    faster: float = 1.0


def exact_bytes() -> int:
    """Bytes of a video that an exact search reads."""
    return sum(map(_bytes, video_record(SHAPE)[:2]))


def ways(rows: list[GalleryFigure]) -> list[Kept]:
    """How a gallery can be kept; what a search gains is that of the largest gallery that was measured."""
    beside = sum(map(_bytes, video_record(coarser(SHAPE, 1))[:2]))
    found = [Kept(EXACT, exact_bytes())]
    if (certified := _faster(rows, FASTER)) is not None:
        found.append(Kept(CERTIFIED_SEARCH, CERTIFIED, certified))
    if (coarse := _faster(rows, COARSE_FASTER)) is not None:
        found.append(Kept(COARSE_SEARCH, exact_bytes() + beside, coarse))
    return found


def _faster(rows: list[GalleryFigure], figure: str) -> float | None:
    found = [row for row in rows if row.figure == figure and row.films == "clusters"]
    return max(found, key=lambda row: row.videos).value if found else None


def _bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * np.dtype(spec.stored).itemsize


@dataclass(frozen=True)
class Scan:
    """How fast a machine reads a gallery for one query: ``bytes_per_s``, and ``memory`` bytes that it has.

    ``exact_only`` says whether it has neither a certified search nor a coarse stage.
    """

    name: str
    bytes_per_s: float
    memory: int
    exact_only: bool = False

    def seconds(self, videos: int, kept: Kept) -> float:
        """Of a search in so many videos."""
        return videos * exact_bytes() / self.bytes_per_s / kept.faster

    def holds(self, kept: Kept) -> int:
        """How many videos fit into its memory."""
        return int(self.memory * _FOR_RECORDS) // kept.bytes

    def machines(self, videos: int, kept: Kept, within_s: float) -> int:
        """How many it takes for a gallery to fit, and a search to take no longer."""
        most = min(self.holds(kept), int(within_s / self.seconds(1, kept)))
        return math.ceil(videos / max(1, most))


def cpu_rate(rows: list[Stage]) -> float | None:
    """Bytes a second of the compiled scorer, one query against the largest gallery that was timed; None without one."""
    alone = [row for row in rows if (row.stage, row.engine, row.batch) == ("score+top-n", "native", 1)]
    timed = [row for row in alone if row.model != "demo"]
    if not timed:
        return None
    row = max(timed, key=lambda row: row.videos or 0)
    return (row.videos or 0) * exact_bytes() / (row.p50_ms / 1e3)


def gpu_rate(rows: list[GpuScoring]) -> float | None:
    """Bytes a second of the Triton kernel, one query against the largest gallery that was timed; None without one."""
    timed = [row for row in rows if (row.case, row.storage, row.queries) == ("kernel search, 10 best", "float16", 1)]
    if not timed:
        return None
    row = max(timed, key=lambda row: row.videos)
    return row.videos * exact_bytes() / (row.p50_ms / 1e3)
