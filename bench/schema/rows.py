"""Rows of everything but load. Times are in milliseconds unless a name says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .load import Percentiles
from .row import Row


@dataclass(frozen=True, kw_only=True)
class Stage(Row):
    """One stage of a search or an indexing, by itself. ``times_faster`` is against ``baseline``, in the same run."""

    stage: str
    engine: str
    model: str
    batch: int
    videos: int | None
    p20_ms: float
    p50_ms: float
    p80_ms: float
    rounds: int
    per_item_ms: float
    baseline: str
    times_faster: float | None


@dataclass(frozen=True, kw_only=True)
class Timing(Row):
    """One case of a benchmark under pytest-benchmark, against another of its group."""

    group: str
    case: str
    baseline: str
    median_ms: float
    min_ms: float
    rounds: int
    times_faster: float | None
    bytes_per_video: int | None = None


@dataclass(frozen=True, kw_only=True)
class Loop(Row):
    """One closed loop of clients against a service; ``load_1min`` is the machine's at its end."""

    service: str
    model: str
    videos: int
    concurrency: int
    round: int
    qps: float
    requests: int
    errors: int
    latency: Percentiles
    load_1min: float


@dataclass(frozen=True, kw_only=True)
class LoopSummary(Row):
    """Medians over a service's loops.

    Attributes:
        ratio_qps_eager, ratio_qps_hf: of throughput, the median of the rounds' own ratios to the two baselines.
        overlap: share of the published formula's ten best that it finds.
        equal: queries with the published formula's ranking, where it scores by that.
        threads: of a search, where the service has a choice.
    """

    service: str
    model: str
    videos: int
    concurrency: int
    rounds: int
    qps: float
    requests: int
    errors: int
    latency: Percentiles
    ratio_qps_eager: float | None = None
    ratio_qps_hf: float | None = None
    overlap: float | None = None
    equal: str = ""
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Storage(Row):
    """How much of the exact ranking a storage of the gallery keeps.

    Attributes:
        overlap: mean share of the exact ten best that are found.
        first: share of queries whose best video is the exact one.
        error: the largest difference of a score.
        threads: of the searches that were timed.
    """

    model: str
    storage: str
    videos: int
    queries: int
    bytes_per_video: int
    overlap: float
    first: float
    error: float
    p20_ms: float
    p50_ms: float
    p80_ms: float
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class GalleryFigure(Row):
    """One figure of a gallery of so many videos, and what is promised of it."""

    figure: str
    videos: int
    storage: str
    films: str
    value: float
    promise: str
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Indexing(Row):
    """Indexing a manifest without a server, by ``workers`` that are processes of this machine or actors of Ray.

    Attributes:
        video_s, video_cpu_s: seconds, and those of all processors, of one video more; medians over rounds.
        start_s, start_cpu_s: what a run takes before its first video.
        ratio, cpu_ratio: the rate over that of processes, the median of the rounds' own ratios.
    """

    way: Literal["processes", "ray"]
    model: str
    videos: int
    workers: int
    rounds: int
    video_s: float
    video_cpu_s: float
    start_s: float
    start_cpu_s: float
    ratio: float
    cpu_ratio: float


@dataclass(frozen=True, kw_only=True)
class Sharded(Row):
    """Searches of one gallery on one server and in shards of the same machine, by turns.

    Attributes:
        searches: of each.
        added_ms: the difference of both medians.
        differing: answers of shards that were not those of one server.
        load_1min: the machine's at the end.
    """

    model: str
    videos: int
    shards: int
    facts: bool
    searches: int
    one: Percentiles
    sharded: Percentiles
    added_ms: float
    differing: int
    load_1min: float


@dataclass(frozen=True, kw_only=True)
class Engine(Row):
    """Bytes of a graph and of its engine and seconds to build that, or why there is none."""

    system: str
    graph: str
    precision: str
    targets: tuple[str, ...]
    onnx: int | None = None
    engine: int | None = None
    seconds: float | None = None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Change(Row):
    """A stage in two commits: head's time over base's, with the interval that holds it and Mann and Whitney's p."""

    base: str
    head: str
    model: str
    videos: int
    case: str
    base_ms: float
    head_ms: float
    ratio: float
    low: float
    high: float
    p: float
    verdict: Literal["slower", "faster", "same"]
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Ablation(Row):
    """Retrieval by a model with K frames kept and one temporal encoding, trained by ``recipe``."""

    top_k: int
    temporal: str
    recipe: Mapping[str, int | bool | float]
    r1: float
    r5: float
    r10: float
    mdr: float
    mnr: float


@dataclass(frozen=True, kw_only=True)
class Demo(Row):
    """The last lines that ``framesift demo`` printed."""

    lines: tuple[str, ...]
