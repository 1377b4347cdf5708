"""A long time of mixed load: does memory grow, does anything fail?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ...export.bundle.scorer_card import ScorerCard
from ...serving.gallery.compaction import RETAIN
from ..schema.load import SoakVerdict, Trend, Window
from ..schema.row import Row
from .clients import Clients, soon, together
from .figures import timeline
from .jobs import Job
from .measurement_window import Observer, closed_loop
from .memory import MemorySampler, growing, growth
from .sweep import OnRow, saturation, warm_up
from .target import Target

SCENARIO = "soak"
SEARCHES, VIDEOS = 0.5, 0.05
_AT_ONCE = {"search": (4, 8, 16), "index": (2,)}
_FULL, _FULL_S = 2 * ScorerCard.texts_in_flight, 5.0


def soak(
    observer: Observer,
    searching: Clients,
    indexing: Clients,
    seconds: float,
    probe_s: float,
    on_row: OnRow,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Searches at half of saturation and a trickle of videos for ``seconds``; memory is looked at every second.

    A search that the server refuses is sent again as framesift's clients do, and its latency goes on counting; rows
    hold how many were ``refused_at_first``, and how often searches were ``retried``. Videos are sent once.

    The same ids should be indexed again and again: a gallery that grows takes more memory by right. The last row is the
    verdict. An interrupt (Ctrl-C) ends the soak, and the rows cover the time until then.
    """
    warm_up(observer, searching)
    # More than the server admits: what it needs for its largest batches is no growth of the soak's.
    warm_up(observer, searching, _FULL, _FULL_S)
    rates = {}
    for work, clients, part in (("search", searching, SEARCHES), ("index", indexing, VIDEOS)):
        probes = [closed_loop(observer, clients, n, probe_s, scenario=SCENARIO, work=work) for n in _AT_ONCE[work]]
        for row in probes:
            on_row(row)
        rates[work] = part * saturation(probes)
    sampler, start = MemorySampler(observer.target.pid), soon()

    def watch() -> None:
        sampler()
        meanwhile()

    jobs = [
        (searching, Job("open", start, seconds, rate=rates["search"], patient=True)),
        (indexing, Job("open", start, seconds, rate=rates["index"])),
    ]
    reports, server = observer.during(partial(together, jobs, watch, keep=True))
    about: dict[str, Any] = {}
    if (lasted := time.monotonic() - start) < seconds:
        about, seconds = {"ended_early": True, "lasted_s": round(lasted, 1)}, lasted
    rows = [
        observer.window(
            replace(job, seconds=seconds),
            report,
            server,
            scenario=SCENARIO,
            work=work,
            phase="soak",
            refused_at_first=int(report.refused_at_first.sum()),
            retried=int(report.retried.sum()),
            timeline=timeline(report, seconds),
            **about,
        )
        for work, (_, job), report in zip(rates, jobs, reports, strict=True)
    ]
    for row in rows:
        on_row(row)
    rows[0] = replace(rows[0], memory=sampler.timeline())
    found = verdict(observer.target, rows, sampler.trends(RETAIN.total_seconds()))
    return [*rows, replace(found, **about)]


def verdict(target: Target, rows: Sequence[Window], memory: Mapping[str, Trend]) -> SoakVerdict:
    """What held: no request without an answer, and no process whose memory grows."""
    return SoakVerdict(
        model=target.model,
        videos=target.videos,
        refused_at_first=sum(row.refused_at_first or 0 for row in rows),
        memory=memory,
        growing=growing(memory),
        holds={
            "no error": not any(row.errors for row in rows),
            "memory flat": not growing(memory) if memory else None,
        },
        because={
            "no error": ", ".join(f"{row.requests} requests to {row.work}, {row.failed} unanswered" for row in rows),
            "memory flat": growth(memory),
        },
    )
