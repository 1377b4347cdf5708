"""The figures of one window of load."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrivals import corrected
from .worker import OK, Report

PERCENTILES = {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
# Of the requests due in a window, the part that must have left within it.
_REACHED = 0.98


def percentiles(latencies: npt.NDArray[np.float64], prefix: str = "") -> dict[str, float | None]:
    """Percentiles in milliseconds of latencies in seconds, each one that was observed; None where there are none."""
    if not len(latencies):
        return {prefix + name: None for name in PERCENTILES}
    values = np.percentile(1e3 * latencies, list(PERCENTILES.values()), method="higher")
    return {prefix + name: round(float(value), 3) for name, value in zip(PERCENTILES, values, strict=True)}


def succeeded(report: Report) -> npt.NDArray[np.bool_]:
    """Which requests were answered."""
    return _among(report, {place for place, (name, _) in enumerate(report.outcomes) if name == OK})


def refused(report: Report) -> npt.NDArray[np.bool_]:
    """Which requests were turned away with a status that says to try again."""
    return _among(report, {place for place, (_, retriable) in enumerate(report.outcomes) if retriable})


def refused_at_first(report: Report) -> npt.NDArray[np.bool_]:
    """Which requests were turned away when they were first sent, whatever became of them."""
    return refused(report) | (report.retried > 0)


def figures(report: Report, seconds: float) -> dict[str, Any]:
    """A row's figures: latencies are of answered requests, from the moment each was to be sent.

    ``qps`` counts the answers that came within the window of ``seconds``; ``errors`` are by gRPC status, refusals
    included; ``late_ms`` is how much later than intended a client sent, in the 95th percentile of all requests: its own
    slowness.
    """
    ok, away = succeeded(report), refused(report)
    latency = report.ended - report.intended
    late = report.sent - report.intended
    names = Counter(report.outcomes[place][0] for place in report.outcome[~ok])
    return {
        "qps": round(float((ok & (report.ended <= seconds)).sum() / seconds), 3),
        "sent_qps": round(float((report.sent <= seconds).sum() / seconds), 3),
        "requests": len(ok),
        "errors": dict(names),
        "refused": int(away.sum()),
        **percentiles(latency[ok]),
        "refusals": percentiles(latency[away]) if away.any() else None,
        "late_ms": round(1e3 * float(np.percentile(late, 95)), 3) if len(late) else None,
        "duration_s": seconds,
        "client_cpu_s": round(report.cpu_s, 3),
    }


def closed_figures(report: Report, seconds: float, concurrency: int) -> dict[str, Any]:
    """As ``figures``, with what the tail would be had every client kept to the interval of its median request."""
    row = figures(report, seconds)
    latencies = (report.ended - report.sent)[succeeded(report)]
    if not len(latencies):
        return {**row, "concurrency": concurrency, "corrected": None}
    interval = float(np.median(latencies))
    tail = percentiles(corrected(latencies, interval))
    return {
        **row,
        "concurrency": concurrency,
        "corrected": {
            "interval_ms": round(1e3 * interval, 3),
            **{name: tail[name] for name in ("p99_ms", "p999_ms")},
        },
    }


def kept_up(report: Report, seconds: float) -> bool:
    """Whether the clients sent what was due in the window; where not, they and not the server were the limit."""
    return bool((report.sent <= seconds).mean() >= _REACHED) if len(report.sent) else True


def timeline(report: Report, seconds: float) -> list[dict[str, Any]]:
    """One point a second, by the moment at which requests were to be sent."""
    ok, away = succeeded(report), refused(report)
    latency, second = report.ended - report.intended, report.intended.astype(np.int64)
    points = []
    for now in range(int(np.ceil(seconds))):
        here = second == now
        points.append(
            {
                "second": now,
                "sent": int(here.sum()),
                "answered": int((here & ok).sum()),
                "refused": int((here & away).sum()),
                "failed": int((here & ~ok & ~away).sum()),
                "retried": int(report.retried[here].sum()),
                "p99_ms": percentiles(latency[here & ok])["p99_ms"],
            }
        )
    return points


def _among(report: Report, places: set[int]) -> npt.NDArray[np.bool_]:
    return np.isin(report.outcome, list(places))
