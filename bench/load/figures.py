"""The figures of one window of load."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..percentiles import latencies, observed
from ..schema.load import Answers, Corrected, Second
from .arrivals import corrected
from .jobs import Report

# Of the requests due in a window, the part that must have left within it.
_REACHED = 0.98


def answers(report: Report, seconds: float) -> Answers:
    """What became of a window's requests: see ``Answers``."""
    ok, away = report.succeeded, report.refused
    late = report.sent - report.intended
    return Answers(
        duration_s=seconds,
        requests=len(ok),
        qps=round(float((ok & (report.ended <= seconds)).sum() / seconds), 3),
        sent_qps=round(float((report.sent <= seconds).sum() / seconds), 3),
        latency=latencies(report.latency[ok]),
        client_cpu_s=round(report.cpu_s, 3),
        errors=dict(Counter(report.outcomes[place][0] for place in report.outcome[~ok])),
        refused=int(away.sum()),
        refusals=latencies(report.latency[away]) if away.any() else None,
        late_ms=round(observed(late, [95])[0], 3) if len(late) else None,
    )


def corrected_tail(report: Report) -> Corrected | None:
    """A closed loop's tail had every client kept to the interval of its median request; None without an answer."""
    times = (report.ended - report.sent)[report.succeeded]
    if not len(times):
        return None
    interval = float(np.median(times))
    tail = latencies(corrected(times, interval))
    return Corrected(round(1e3 * interval, 3), tail.p99_ms, tail.p999_ms)


def kept_up(report: Report, seconds: float) -> bool:
    """Whether the clients sent what was due in the window; where not, they and not the server were the limit."""
    return bool((report.sent <= seconds).mean() >= _REACHED) if len(report.sent) else True


def timeline(report: Report, seconds: float) -> tuple[Second, ...]:
    """One point a second, by the moment at which requests were to be sent."""
    ok, away = report.succeeded, report.refused
    second = report.intended.astype(np.int64)
    points = []
    for now in range(int(np.ceil(seconds))):
        here = second == now
        points.append(
            Second(
                second=now,
                sent=int(here.sum()),
                answered=int((here & ok).sum()),
                refused=int((here & away).sum()),
                failed=int((here & ~ok & ~away).sum()),
                retried=int(report.retried[here].sum()),
                p99_ms=latencies(report.latency[here & ok]).p99_ms,
            )
        )
    return tuple(points)
