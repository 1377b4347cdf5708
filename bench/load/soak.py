"""A long time of mixed load: does memory grow, does anything fail?"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ...export.bundle.scorers import ScorerCard
from ...serving.gallery.compaction import RETAIN
from .clients import Clients, soon, together
from .measure import figures, kept_up, refused_at_first, timeline
from .memory import MemorySampler, growth
from .sweep import Told, saturation, warm_up
from .target import Target
from .windows import Observer, Row, closed
from .worker import Job, Report

SCENARIO = "soak"
SEARCHES, VIDEOS = 0.5, 0.05
_FULL_S = 5.0
_AT_ONCE = {"search": (4, 8, 16), "index": (2,)}
_FULL = 2 * ScorerCard.texts_in_flight


def soak(
    observer: Observer,
    target: Target,
    searching: Clients,
    indexing: Clients,
    seconds: float,
    probe_s: float,
    told: Told,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Searches at half of saturation and a trickle of videos for ``seconds``; memory is looked at every second.

    A search that the server refuses is sent again as framesift's clients do, and its latency goes on counting; rows
    tell how many were ``refused_at_first``, and how often searches were ``retried``. Videos are sent once.

    The same ids should be indexed again and again: a gallery that grows takes more memory by right. The last row, whose
    ``phase`` is "verdict", says what held. An interrupt (Ctrl-C) ends it, and the rows tell of the time until then.
    """
    warm_up(observer, searching)
    # As many as the server lets in, and more: what it needs for its largest batches is no growth of the soak's.
    closed(observer, searching, _FULL, _FULL_S, {})
    about = {"scenario": SCENARIO, "knee": False, "perf_analyzer": None}
    jobs = []
    for work, clients, part in (("search", searching, SEARCHES), ("index", indexing, VIDEOS)):
        rows = [closed(observer, clients, level, probe_s, {**about, "work": work})[1] for level in _AT_ONCE[work]]
        for row in rows:
            told(row)
        jobs.append((work, clients, part * saturation(rows)))
    sampler, start = MemorySampler(target.pid), soon()

    def watch() -> None:
        sampler()
        meanwhile()

    orders = [
        (clients, Job("open", start, seconds, rate=rate, patient=work == "search")) for work, clients, rate in jobs
    ]
    reports, server = observer.during(partial(together, orders, watch, keep=True))
    if (lasted := time.monotonic() - start) < seconds:
        about, seconds = {**about, "ended_early": True, "lasted_s": round(lasted, 1)}, lasted
    rows = [
        {**about, "work": work, "phase": "soak", **_figures(report, rate, seconds), **server}
        for (work, _, rate), report in zip(jobs, reports, strict=True)
    ]
    for row in rows:
        told(row)
    rows[0]["memory"] = sampler.timeline()
    return [
        *rows,
        {
            **about,
            "phase": "verdict",
            "model": target.model,
            "videos": target.videos,
            **verdict(rows, sampler.trends(RETAIN.total_seconds())),
        },
    ]


def verdict(rows: list[Row], memory: dict[str, Any]) -> Row:
    """What held: no request without an answer, and no process whose memory grows."""
    growing = sorted(name for name, trend in memory.items() if not trend["flat"])
    return {
        "refused_at_first": sum(row["refused_at_first"] for row in rows),
        "memory": memory,
        "growing": growing,
        "holds": {
            "no error": not any(row["errors"] for row in rows),
            "memory flat": not growing if memory else None,
        },
        "because": {
            "no error": ", ".join(
                f"{row['requests']} requests to {row['work']}, {sum(row['errors'].values())} unanswered" for row in rows
            ),
            "memory flat": growth(memory),
        },
    }


def _figures(report: Report, rate: float, seconds: float) -> Row:
    return {
        "loop": "open",
        "offered_qps": round(rate, 3),
        **figures(report, seconds),
        "refused_at_first": int(refused_at_first(report).sum()),
        "retried": int(report.retried.sum()),
        "clients_kept_up": kept_up(report, seconds),
        "timeline": timeline(report, seconds),
    }
