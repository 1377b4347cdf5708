"""Tables of a server under load."""

from __future__ import annotations

from collections.abc import Sequence

from ..schema.kinds import AGAINST_SUMMARY, OVERLOAD_VERDICT, SOAK_VERDICT
from ..schema.load import PerfAnalyzerFigures, Verdict
from .cells import Lines, ms, times
from .results import Results
from .waterfall import one_search

# What used less is there and had nothing to do.
_LEAST_CPU_S = 0.01
_SERVICES = {
    "framesift": "framesift on Triton server",
    "eager-fastapi": "eager PyTorch, published formula, FastAPI",
    "hf-faiss-fastapi": "Hugging Face CLIP, mean pooling, FAISS, FastAPI",
    "grpc-aio": "our engines in a plain gRPC server",
    "pytriton": "our engines behind PyTriton",
}


def load(results: Results) -> Lines | None:
    """Searches in closed loops and at offered loads; what perf_analyzer found at a level, if it was there."""
    found = results.searches()
    beside = any(row.perf_analyzer for row in found)
    head = ["model", "load", "queries/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "refused", "compute"]
    lines = [head + ["perf_analyzer: queries/s", "p50 ms", "p99 ms"] * beside]
    for row in found:
        asked = f"{row.concurrency} at a time" if row.offered_qps is None else f"{row.offered_qps:.0f} a second"
        latency, share = row.latency, row.server.compute_share
        lines.append(
            [
                row.model,
                asked + (" (knee)" if row.knee else ""),
                f"{row.qps:.0f}",
                *(ms(value) for value in (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.p999_ms)),
                str(row.refused),
                "" if share is None else f"{share:.0%}",
                *_perf_analyzer(row.perf_analyzer or PerfAnalyzerFigures()) * beside,
            ]
        )
    return lines if found else None


def waterfall(results: Results) -> Lines | None:
    """The stages of one search, their sum, and the search served."""
    found = one_search(results)
    if not found:
        return None
    first, _ = next(iter(found.values()))
    lines = [["model", *first, "sum", "served, p50", "served over sum"]]
    for model, (steps, served) in found.items():
        total = sum(steps.values())
        lines.append([model, *(f"{time:.2f} ms" for time in (*steps.values(), total, served)), f"{served / total:.2f}"])
    return lines


def compute(results: Results) -> Lines | None:
    """Each process at saturation that used the CPU, of every model."""
    lines = [["model", "process", "CPU s", "its own work", "memory"]]
    for model, row in results.saturated().items():
        for name, used in sorted(row.server.processes.items(), key=lambda item: -item[1].cpu_s):
            if used.cpu_s < _LEAST_CPU_S:
                continue
            share = "" if used.compute_s is None else f"{used.compute_s / used.cpu_s:.0%}"
            lines.append([model, name, f"{used.cpu_s:.2f}", share, f"{used.rss_mb:.0f} MB"])
        whole = "" if row.server.compute_share is None else f"{row.server.compute_share:.0%}"
        lines.append([model, f"all, at {row.qps:.0f} queries/s", "", whole, ""])
    return lines if len(lines) > 1 else None


def against(results: Results) -> Lines | None:
    """All services at every concurrency, with ratios of throughput."""
    found = results.of(AGAINST_SUMMARY)
    lines = [["model", "clients", "service", "queries/s", "p50 ms", "p99 ms", "of eager", "of HF and FAISS"]]
    for row in found:
        ratios = [times(row.ratio_qps_eager), times(row.ratio_qps_hf)]
        latency = [ms(row.latency.p50_ms), ms(row.latency.p99_ms)]
        service = _SERVICES.get(row.service, row.service)
        lines.append([row.model, str(row.concurrency), service, f"{row.qps:.1f}", *latency, *ratios])
    return lines if found else None


def overload(results: Results) -> Lines | None:
    """What held in an overload."""
    found = results.of(OVERLOAD_VERDICT)
    return _verdicts(found)


def soak(results: Results) -> Lines | None:
    """What held in a long run."""
    found = results.of(SOAK_VERDICT)
    return _verdicts(found)


def _verdicts(found: Sequence[Verdict]) -> Lines | None:
    told = {True: "yes", False: "no", None: "not seen"}
    lines = [[row.model, name, told[held]] for row in found for name, held in row.holds.items()]
    return [["model", "what must hold", "held"], *lines] if lines else None


def _perf_analyzer(found: PerfAnalyzerFigures) -> list[str]:
    if found.failed:
        return ["failed", "", ""]
    return ["" if found.qps is None else f"{found.qps:.0f}", ms(found.p50_ms), ms(found.p99_ms)]
