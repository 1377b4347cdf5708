"""Three times as many requests as the server can answer, and what comes after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from ..percentiles import latencies, observed
from ..schema.load import OverloadVerdict, Trend
from ..schema.row import Row
from .clients import Clients, soon, together
from .figures import timeline
from .jobs import Job, Report
from .measurement_window import Observer, closed_loop, open_loop
from .memory import MemorySampler, growing, growth
from .sweep import OnRow, saturation, warm_up
from .target import Target

SCENARIO = "overload"
TIMES = 3.0
BUSY, AFTER = 0.8, 0.5
# What must hold: accepted requests within this many times of p99 at 80 % load, and recovery within these seconds.
P99_TIMES, RECOVERY_S = 3.0, 5.0
AFTER_S = 15.0
# Everything is compared with p99 at 80 %, so its window is this many times that of the other levels.
BUSY_TIMES = 3.0
_PROBES = (4, 8, 16, 32)
_STEP_S = 0.1


def overload(
    observer: Observer,
    clients: Clients,
    later: Clients,
    seconds: float,
    probe_s: float,
    on_row: OnRow,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Saturation, 80 % of it, ``TIMES`` of it for ``seconds``, and half of it at once afterwards.

    ``later`` sends what comes after the overload, while ``clients`` still wait for answers to what came before. The
    last row is the verdict.
    """
    warm_up(observer, clients)
    rows = [closed_loop(observer, clients, level, probe_s, scenario=SCENARIO, phase="saturation") for level in _PROBES]
    limit = saturation(rows)
    busy = open_loop(observer, clients, BUSY * limit, BUSY_TIMES * probe_s, scenario=SCENARIO, phase="80 %")
    for row in (*rows, busy):
        on_row(row)
    sampler = MemorySampler(observer.target.pid)
    start = soon()
    jobs = [
        (clients, Job("open", start, seconds, rate=TIMES * limit)),
        (later, Job("open", start + seconds, AFTER_S, rate=AFTER * limit)),
    ]

    def watch() -> None:
        sampler()
        meanwhile()

    reports, server = observer.during(partial(together, jobs, watch))
    # What the server used belongs to both phases.
    over, after = (
        observer.window(job, report, server, scenario=SCENARIO, phase=phase, timeline=timeline(report, job.seconds))
        for phase, (_, job), report in zip(("overload", "after"), jobs, reports, strict=True)
    )
    for row in (over, after):
        on_row(row)
    p99 = busy.latency.p99_ms or 0.0
    found = verdict(observer.target, reports[0], reports[1], p99, sampler.trends(), bool(over.clients_kept_up))
    return [*rows, busy, replace(over, memory=sampler.timeline()), after, found]


def verdict(
    target: Target, over: Report, after: Report, busy_ms: float, memory: Mapping[str, Trend], reached: bool
) -> OverloadVerdict:
    """What held: see the keys of ``holds``; None where it could not be seen."""
    ok, away = over.succeeded, over.refused
    accepted, turned = latencies(over.latency[ok]).p99_ms, latencies(over.latency[away])
    failed = ~ok & ~away
    limit = P99_TIMES * busy_ms
    back = recovery(after, limit)
    within, again = f"accepted p99 within {P99_TIMES:g}x", f"recovered within {RECOVERY_S:g} s"
    return OverloadVerdict(
        model=target.model,
        videos=target.videos,
        offered_reached=reached,
        p99_80_ms=busy_ms,
        refused_share=round(float(away.mean()), 4),
        failed_share=round(float(failed.mean()), 4),
        refusals=turned,
        accepted_p99_ms=accepted,
        accepted_times_80=round(accepted / busy_ms, 2) if accepted and busy_ms else None,
        memory=memory,
        growing=growing(memory),
        recovery_s=back,
        holds={
            # A refusal that takes as long as an answer may is none that came at once.
            "refused at once": None if turned.p99_ms is None else turned.p99_ms <= limit,
            "refused as retriable": not failed.any(),
            within: None if accepted is None else accepted <= limit,
            "memory flat": not growing(memory) if memory else None,
            again: back is not None and back <= RECOVERY_S,
        },
        because={
            "refused at once": f"p99 of refusals {_ms(turned.p99_ms)}, {limit:.0f} ms are allowed",
            "refused as retriable": f"{int(away.sum())} of {len(ok)} were refused, {int(failed.sum())} failed",
            within: f"{_ms(accepted)}, at 80 % of saturation {busy_ms:.0f} ms",
            "memory flat": growth(memory),
            again: "not while it was watched" if back is None else f"after {back:g} s",
        },
    )


def recovery(after: Report, limit_ms: float) -> float | None:
    """Seconds until a second begins in which no request fails and p99 is within ``limit_ms``; None if none does."""
    ok, latency = after.succeeded, after.latency
    last = float(after.intended.max(initial=0.0)) - 1.0
    for begin in np.arange(0.0, max(last, 0.0) + _STEP_S, _STEP_S):
        here = (after.intended >= begin) & (after.intended < begin + 1.0)
        if here.any() and ok[here].all() and observed(latency[here], [99])[0] <= limit_ms:
            return round(float(begin), 1)
    return None


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"
