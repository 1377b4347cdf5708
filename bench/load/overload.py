"""Three times as many requests as the server can answer, and what comes after."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .clients import Clients, soon, together
from .measure import figures, kept_up, percentiles, refused, succeeded, timeline
from .memory import MemorySampler, growth
from .sweep import Told, saturation, warm_up
from .target import Target
from .windows import Observer, Row, closed, opened
from .worker import Job, Report

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
    target: Target,
    clients: Clients,
    later: Clients,
    seconds: float,
    probe_s: float,
    told: Told,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Saturation, 80 % of it, ``TIMES`` of it for ``seconds``, and half of it at once afterwards.

    ``later`` sends what comes after the overload, while ``clients`` still wait for answers to what came before. The
    last row, whose ``phase`` is "verdict", says what held.
    """
    warm_up(observer, clients)
    about = {"scenario": SCENARIO, "knee": False, "perf_analyzer": None}
    rows = [closed(observer, clients, level, probe_s, {**about, "phase": "saturation"})[1] for level in _PROBES]
    limit = saturation(rows)
    rows.append(opened(observer, clients, BUSY * limit, BUSY_TIMES * probe_s, {**about, "phase": "80 %"})[1])
    for row in rows:
        told(row)
    busy = float(rows[-1]["p99_ms"] or 0.0)
    sampler = MemorySampler(target.pid)
    start = soon()
    jobs = [
        (clients, Job("open", start, seconds, rate=TIMES * limit)),
        (later, Job("open", start + seconds, AFTER_S, rate=AFTER * limit)),
    ]

    def watch() -> None:
        sampler()
        meanwhile()

    reports, server = observer.during(partial(together, jobs, watch))
    for phase, (_, job), report in zip(("overload", "after"), jobs, reports, strict=True):
        row = {**about, "phase": phase, "loop": "open", "offered_qps": round(job.rate, 3)}
        row |= {**figures(report, job.seconds), "clients_kept_up": kept_up(report, job.seconds)}
        # What the server used belongs to both phases, and is told once.
        rows.append({**row, **server, "timeline": timeline(report, job.seconds)})
        told(rows[-1])
    rows[-2]["memory"] = sampler.timeline()
    found = verdict(reports[0], reports[1], busy, sampler.trends())
    reached = {"offered_reached": rows[-2]["clients_kept_up"]}
    return [*rows, {**about, "phase": "verdict", "model": target.model, "videos": target.videos, **reached, **found}]


def verdict(over: Report, after: Report, busy_ms: float, memory: dict[str, Any]) -> Row:
    """What held: see the keys of ``holds``; None where it could not be seen."""
    ok, away = succeeded(over), refused(over)
    latency = over.ended - over.intended
    accepted, turned = percentiles(latency[ok])["p99_ms"], percentiles(latency[away])
    limit = P99_TIMES * busy_ms
    back = recovery(after, limit)
    growing = sorted(name for name, trend in memory.items() if not trend["flat"])
    within, again = f"accepted p99 within {P99_TIMES:g}x", f"recovered within {RECOVERY_S:g} s"
    return {
        "p99_80_ms": busy_ms,
        "refused_share": round(float(away.mean()), 4),
        "failed_share": round(float((~ok & ~away).mean()), 4),
        "refusals": turned,
        "accepted_p99_ms": accepted,
        "accepted_times_80": round(accepted / busy_ms, 2) if accepted and busy_ms else None,
        "memory": memory,
        "growing": growing,
        "recovery_s": back,
        "holds": {
            # A refusal that takes as long as an answer may is none that came at once.
            "refused at once": None if turned["p99_ms"] is None else turned["p99_ms"] <= limit,
            "refused as retriable": bool((ok | away).all()),
            within: None if accepted is None else accepted <= limit,
            "memory flat": not growing if memory else None,
            again: back is not None and back <= RECOVERY_S,
        },
        "because": {
            "refused at once": f"p99 of refusals {_ms(turned['p99_ms'])}, {limit:.0f} ms are allowed",
            "refused as retriable": f"{int(away.sum())} of {len(ok)} were refused, {int((~ok & ~away).sum())} failed",
            within: f"{_ms(accepted)}, at 80 % of saturation {busy_ms:.0f} ms",
            "memory flat": growth(memory),
            again: "not while it was watched" if back is None else f"after {back:g} s",
        },
    }


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"


def recovery(after: Report, limit_ms: float) -> float | None:
    """Seconds until a second begins in which no request fails and p99 is within ``limit_ms``; None if none does."""
    ok, latency = succeeded(after), 1e3 * (after.ended - after.intended)
    last = float(after.intended.max(initial=0.0)) - 1.0
    for begin in np.arange(0.0, max(last, 0.0) + _STEP_S, _STEP_S):
        here = (after.intended >= begin) & (after.intended < begin + 1.0)
        if here.any() and ok[here].all() and np.percentile(latency[here], 99, method="higher") <= limit_ms:
            return round(float(begin), 1)
    return None
