"""Rows of a server under load: windows of it, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .row import Row


@dataclass(frozen=True)
class Percentiles:
    """Of latencies, in milliseconds; None where there was no answer."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    max_ms: float | None = None


@dataclass(frozen=True)
class Corrected:
    """The tail of a closed loop had its clients gone on sending at an interval: see ``arrivals.corrected``."""

    interval_ms: float
    p99_ms: float | None
    p999_ms: float | None


@dataclass(frozen=True)
class ProcessUse:
    """CPU seconds of a model's processes in a window, those of its own work (None: unknown), and memory at its end."""

    cpu_s: float
    rss_mb: float
    compute_s: float | None = None


@dataclass(frozen=True)
class ModelUse:
    """What Triton server counted for a model in a window; times are means of a request.

    Attributes:
        queue_ms: waiting for a batch.
        input_ms, output_ms: getting tensors there and back.
        compute_ms: in the model, the exchange with its process included.
    """

    requests: int
    failed: int
    rows: int
    executions: int
    queue_ms: float
    input_ms: float
    compute_ms: float
    output_ms: float


@dataclass(frozen=True)
class ServerUse:
    """What a window cost the server: by process, and by model.

    ``compute_share`` is the part of its models' own work in all the CPU that it used; None where no model reports it.
    """

    processes: Mapping[str, ProcessUse] = field(default_factory=dict)
    models: Mapping[str, ModelUse] = field(default_factory=dict)
    compute_share: float | None = None


@dataclass(frozen=True)
class PerfAnalyzerFigures:
    """What NVIDIA's perf_analyzer found at the same level, or the last words with which it gave up."""

    qps: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    failed: str = ""


@dataclass(frozen=True)
class Second:
    """The requests that were due in one second, by what became of them."""

    second: int
    sent: int
    answered: int
    refused: int
    failed: int
    retried: int
    p99_ms: float | None


@dataclass(frozen=True)
class MemorySample:
    """Resident megabytes of every process, instances of a model added up."""

    second: float
    rss_mb: Mapping[str, float]


@dataclass(frozen=True)
class Trend:
    """The growth of a process: see ``memory.trends``."""

    mb_per_min: float
    margin: float
    grown_mb: float
    first_mb: float
    settling_mb: float
    flat: bool


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What became of the requests of a window.

    Attributes:
        qps: answers within the window, a second.
        sent_qps: requests that left within the window, a second.
        errors: requests without an answer by status, refusals included.
        refused: of those, with a status that says to try again.
        latency: of answered requests, from the moment each was due.
        refusals: the same of refused ones, where there were any.
        late_ms: how much later than due the clients sent, in the 95th percentile: their own slowness.
    """

    duration_s: float
    requests: int
    qps: float
    sent_qps: float
    latency: Percentiles
    client_cpu_s: float
    errors: Mapping[str, int] = field(default_factory=dict)
    refused: int = 0
    refusals: Percentiles | None = None
    late_ms: float | None = None

    @property
    def failed(self) -> int:
        """Requests without an answer, refusals included."""
        return sum(self.errors.values())


@dataclass(frozen=True, kw_only=True)
class Window(Row, Answers):
    """Some seconds of load.

    Attributes:
        scenario, phase, work: which run, which part of it, and which requests, "search" or "index".
        loop: closed keeps ``concurrency`` requests in flight; open sends ``offered_qps`` a second at random moments.
        clients_kept_up: whether what was due was sent in the window; None in a closed loop.
        fraction: of the most that closed loops got through.
        knee: whether latency turns up here.
        target_ms, held: what p99 of searches must keep beside indexing, and whether it did.
        refused_at_first, retried: where clients are patient, the requests that were refused, and how often.
        lasted_s: of a run that was ended early.
    """

    scenario: str
    loop: Literal["closed", "open"]
    model: str
    videos: int
    phase: str = ""
    work: str = ""
    concurrency: int | None = None
    corrected: Corrected | None = None
    offered_qps: float | None = None
    clients_kept_up: bool | None = None
    fraction: float | None = None
    knee: bool = False
    target_ms: float | None = None
    held: bool | None = None
    refused_at_first: int | None = None
    retried: int | None = None
    server: ServerUse = ServerUse()
    perf_analyzer: PerfAnalyzerFigures | None = None
    timeline: tuple[Second, ...] = ()
    memory: tuple[MemorySample, ...] = ()
    lasted_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict(Row):
    """What held in a run, None where it could not be seen, and by which figures."""

    model: str
    videos: int
    holds: Mapping[str, bool | None]
    because: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, Trend] = field(default_factory=dict)
    growing: tuple[str, ...] = ()
    lasted_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class OverloadVerdict(Verdict):
    """Of three times too much.

    Attributes:
        p99_80_ms: p99 at 80 % of saturation, that everything is compared with.
        recovery_s: until p99 was within bounds again; None if it was not seen.
    """

    p99_80_ms: float
    refused_share: float
    failed_share: float
    refusals: Percentiles
    accepted_p99_ms: float | None
    accepted_times_80: float | None
    recovery_s: float | None
    offered_reached: bool


@dataclass(frozen=True, kw_only=True)
class SoakVerdict(Verdict):
    """Of a long run."""

    refused_at_first: int
