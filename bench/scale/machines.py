"""Bytes, seconds and machines for galleries of any size, from what a video takes and what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...export.bundle.spec import TensorSpec
from ...export.bundle.topk_attention import video_record
from ...kernels.topk_attention.layout import HeadShape
from ..schema.gpu import GpuScoring
from ..schema.rows import Stage

# The paper's sizes.
SHAPE = HeadShape(frames=12, width=512, top_k=4)
# Of a certified search, which keeps frames in 8 bits with bounds of their error, and reads the others from the table.
CERTIFIED = 6904
# What a machine's memory holds beside records: the system, models, and the room that a gallery grows into.
_FOR_RECORDS = 0.7


EXACT, CERTIFIED_SEARCH = "exact, float16", "certified"


def stored_bytes() -> Mapping[str, int]:
    """Bytes of a video that a search reads, by how the gallery is kept in memory: scanned exactly, or certified."""
    return {EXACT: sum(map(_bytes, video_record(SHAPE)[:2])), CERTIFIED_SEARCH: CERTIFIED}


def _bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * np.dtype(spec.stored).itemsize


@dataclass(frozen=True)
class Scan:
    """How fast a machine reads a gallery for one query: ``bytes_per_s``, and ``memory`` bytes that it has.

    ``certifies`` says whether it has a certified search.
    """

    name: str
    bytes_per_s: float
    memory: int
    certifies: bool

    def seconds(self, videos: int, each: int) -> float:
        """Of a search in so many videos."""
        return videos * each / self.bytes_per_s

    def holds(self, each: int) -> int:
        """How many videos fit into its memory."""
        return int(self.memory * _FOR_RECORDS) // each

    def machines(self, videos: int, each: int, within_s: float) -> int:
        """How many it takes for a gallery to fit, and a search to take no longer."""
        most = min(self.holds(each), int(within_s * self.bytes_per_s / each))
        return math.ceil(videos / max(1, most))


def cpu_rate(rows: list[Stage]) -> float | None:
    """Bytes a second of the compiled scorer, one query against the largest gallery that was timed; None without one."""
    alone = [row for row in rows if (row.stage, row.engine, row.batch) == ("score+top-n", "native", 1)]
    timed = [row for row in alone if row.model != "demo"]
    if not timed:
        return None
    row = max(timed, key=lambda row: row.videos or 0)
    return (row.videos or 0) * stored_bytes()[EXACT] / (row.p50_ms / 1e3)


def gpu_rate(rows: list[GpuScoring]) -> float | None:
    """Bytes a second of the Triton kernel, one query against the largest gallery that was timed; None without one."""
    timed = [row for row in rows if (row.case, row.storage, row.queries) == ("kernel search, 10 best", "float16", 1)]
    if not timed:
        return None
    row = max(timed, key=lambda row: row.videos)
    return row.videos * stored_bytes()[EXACT] / (row.p50_ms / 1e3)
