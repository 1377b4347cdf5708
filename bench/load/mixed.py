"""Indexing beside searches: how fast it may go until searches miss their target."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..schema.load import Window
from .clients import Clients, soon, together
from .jobs import Job
from .measurement_window import Observer, closed_loop, open_loop
from .sweep import OnRow, saturation, warm_up

SCENARIO = "mixed"
# Searches arrive at this part of what the server can answer when nothing is indexed.
SEARCH_LOAD = 0.5
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)
# Where the user has no target: searches may take this many times longer than alone.
TIMES_ALONE = 3.0
_SEARCHES, _VIDEOS = (4, 8, 16), (2, 4)


def mixed(
    observer: Observer,
    searching: Clients,
    indexing: Clients,
    seconds: float,
    on_row: OnRow,
    target_ms: float | None = None,
) -> list[Window]:
    """Searches at half of their saturation, alone and then beside more and more indexing.

    Two rows a level, ``work`` says of which kind of request; ``held`` says whether the searches' p99 was within
    ``target_ms``, by default ``TIMES_ALONE`` of that of searches alone, and nothing failed. The fastest indexing at
    which it was has ``knee``.
    """
    warm_up(observer, searching)
    limit = saturation([closed_loop(observer, searching, n, seconds, scenario=SCENARIO) for n in _SEARCHES])
    most = saturation([closed_loop(observer, indexing, n, seconds, scenario=SCENARIO) for n in _VIDEOS])
    rate = SEARCH_LOAD * limit
    alone = open_loop(observer, searching, rate, seconds, scenario=SCENARIO, work="search", fraction=0.0)
    target = target_ms if target_ms is not None else TIMES_ALONE * (alone.latency.p99_ms or 0.0)
    rows = [_judged(alone, alone, target)]
    on_row(rows[0])
    for fraction in FRACTIONS:
        search, index = beside(observer, searching, indexing, rate, fraction * most, seconds)
        for row in (search, index):
            rows.append(replace(_judged(row, search, target), fraction=fraction))
            on_row(rows[-1])
    kept = [place for place, row in enumerate(rows) if row.work == "index" and row.held]
    if kept:
        rows[kept[-1]] = replace(rows[kept[-1]], knee=True)
    return rows


def beside(
    observer: Observer, searching: Clients, indexing: Clients, rate: float, videos: float, seconds: float
) -> tuple[Window, Window]:
    """Both kinds of requests for ``seconds``, at ``rate`` searches and ``videos`` files a second."""
    start = soon()
    jobs = [(searching, Job("open", start, seconds, rate=rate)), (indexing, Job("open", start, seconds, rate=videos))]
    reports, server = observer.during(partial(together, jobs))
    search, index = (
        observer.window(job, report, server, scenario=SCENARIO, work=work)
        for work, (_, job), report in zip(("search", "index"), jobs, reports, strict=True)
    )
    return search, index


def _judged(row: Window, search: Window, target_ms: float) -> Window:
    """The row with the target of searches, and whether they kept to it and none failed."""
    p99 = search.latency.p99_ms
    return replace(row, target_ms=round(target_ms, 3), held=p99 is not None and p99 <= target_ms and not search.errors)
