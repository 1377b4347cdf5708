"""Rows measured on a GPU: times of one call with cold caches, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .row import Row


@dataclass(frozen=True, kw_only=True)
class GpuScoring(Row):
    """Scores of a gallery.

    Attributes:
        p50_ms: of a call as Python makes it; its launches take their time.
        graph_ms: of the same call replayed as a CUDA graph, the median.
        floor_ms: what the bytes that must move, or the operations, take at the rates measured in the same run.
        scaled_by: the gallery over the videos that it ran on: a baseline that holds every pair runs on as many as fit.
        error: of the kernel's scores against float64.
        ceiling: which of both the floor is.
        read_bytes_per_s: of a sum, which writes nothing.
        int8_op_per_s: of an int8 matrix product, for kernels that multiply int8.
        built: the kernel's tile and what its compiled code takes.
    """

    case: str
    storage: str
    queries: int
    videos: int
    p20_ms: float
    p50_ms: float
    p80_ms: float
    floor_ms: float
    scaled_by: float
    error: float
    copy_bytes_per_s: float
    matrix_flop_per_s: float
    graph_ms: float | None = None
    ceiling: Literal["", "bytes", "products"] = ""
    read_bytes_per_s: float | None = None
    int8_op_per_s: float | None = None
    built: Built | None = None


@dataclass(frozen=True)
class TileSizes:
    """A tile of the Triton kernel: see ``kernels.device.tile.Tile``."""

    parts: int
    queries: int
    videos: int
    depth: int
    warps: int
    stages: int
    kernel: str = "portable"


@dataclass(frozen=True)
class Built:
    """A compiled kernel: registers and bytes of spills of a thread, bytes of shared memory of a program."""

    tile: TileSizes
    registers: int
    spills: int
    shared: int


@dataclass(frozen=True, kw_only=True)
class GpuTile(Row):
    """Scores of a gallery by the kernel with another tile, or why it can't be had.

    Attributes:
        error: against float64; what is wrong is not timed.
        floor_ms: as of ``GpuScoring``.
    """

    storage: str
    queries: int
    videos: int
    tile: TileSizes
    p50_ms: float | None = None
    failure: str = ""
    graph_ms: float | None = None
    error: float | None = None
    floor_ms: float | None = None
    built: Built | None = None


@dataclass(frozen=True, kw_only=True)
class GpuPairs(Row):
    """Scores of a gallery by a scorer of plain vectors.

    Attributes:
        scorer: a folder of ``kernels``.
        failure: why it was not timed: what is wrong is not.
        scaled_by, floor_ms, ceiling, graph_ms, error: as of ``GpuScoring``; the error over the largest score.
        built: of the kernel that reads the frames.
    """

    scorer: str
    case: str
    queries: int
    videos: int
    p20_ms: float | None = None
    p50_ms: float | None = None
    p80_ms: float | None = None
    floor_ms: float | None = None
    scaled_by: float = 1.0
    error: float | None = None
    copy_bytes_per_s: float | None = None
    matrix_flop_per_s: float | None = None
    graph_ms: float | None = None
    ceiling: Literal["", "bytes", "products"] = ""
    failure: str = ""
    built: Built | None = None


@dataclass(frozen=True, kw_only=True)
class GpuProfile(Row):
    """What Nsight Compute counted in one launch of a kernel, or why it did not.

    Attributes:
        metrics: by Nsight Compute's names, in its base units.
    """

    kernel: str
    queries: int
    videos: int
    metrics: dict[str, float] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class GpuServed(Row):
    """A search as a server's ranker makes it, by the calling thread's clock, or why there is none.

    Attributes:
        storage: float16, or int8 for its answers over int8 steps.
        floor_ms: of the float16 scores, as of ``GpuScoring``.
        scored: the share of the videos that were scored in float16.
        same: whether it found to the bit what it is compared with.
    """

    storage: str
    queries: int
    videos: int
    p20_ms: float | None = None
    p50_ms: float | None = None
    p80_ms: float | None = None
    floor_ms: float | None = None
    scored: float | None = None
    same: bool | None = None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class GpuEncoding(Row):
    """An encoder, or why it was not timed.

    Attributes:
        floor_share: the encoder's operations at the rate of a large matrix product, over ``p50_ms``.
        error: ||record - float64|| / ||float64||, of the worst tensor of the record.
        note: what else is to be known of the row.
    """

    model: str
    graph: str
    precision: str
    batch: int
    case: str
    p20_ms: float | None = None
    p50_ms: float | None = None
    p80_ms: float | None = None
    per_second: float | None = None
    floor_share: float | None = None
    error: float | None = None
    failure: str = ""
    note: str = ""
