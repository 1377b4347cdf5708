"""Indexing beside searches: how fast it may go until searches miss their target."""

from __future__ import annotations

from functools import partial

from .clients import Clients, soon, together
from .measure import figures, kept_up
from .sweep import Told, saturation, warm_up
from .windows import Observer, Row, closed, opened
from .worker import Job

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
    told: Told,
    target_ms: float | None = None,
) -> list[Row]:
    """Searches at half of their saturation, alone and then beside more and more indexing.

    Two rows a level, ``work`` says of which kind of request; ``held`` says whether the searches' p99 was within
    ``target_ms``, by default ``TIMES_ALONE`` of that of searches alone, and nothing failed. The fastest indexing at
    which it was has ``knee``.
    """
    warm_up(observer, searching)
    probe = {"scenario": SCENARIO, "knee": False, "perf_analyzer": None}
    limit = saturation([closed(observer, searching, level, seconds, probe)[1] for level in _SEARCHES])
    most = saturation([closed(observer, indexing, level, seconds, probe)[1] for level in _VIDEOS])
    rate = SEARCH_LOAD * limit
    _, alone = opened(observer, searching, rate, seconds, {**probe, "work": "search", "fraction": 0.0})
    target = target_ms if target_ms is not None else TIMES_ALONE * (alone["p99_ms"] or 0.0)
    rows = [{**alone, "target_ms": round(target, 3), "held": within(alone, target)}]
    told(rows[0])
    for fraction in FRACTIONS:
        both, server = observer.during(partial(beside, searching, indexing, rate, fraction * most, seconds))
        held = within(both["search"], target)
        for work, row in both.items():
            about = {**probe, "work": work, "fraction": fraction, "target_ms": round(target, 3), "held": held}
            rows.append({**about, "loop": "open", **row, **server})
            told(rows[-1])
    kept = [row for row in rows if row["work"] == "index" and row["held"]]
    if kept:
        kept[-1]["knee"] = True
    return rows


def within(row: Row, target_ms: float) -> bool:
    """Whether searches kept to their target and none failed."""
    return row["p99_ms"] is not None and row["p99_ms"] <= target_ms and not row["errors"]


def beside(searching: Clients, indexing: Clients, rate: float, videos: float, seconds: float) -> dict[str, Row]:
    """Both kinds of requests for ``seconds``, at ``rate`` searches and ``videos`` files a second."""
    start = soon()
    jobs = [(searching, Job("open", start, seconds, rate=rate)), (indexing, Job("open", start, seconds, rate=videos))]
    return {
        work: {
            "offered_qps": round(job.rate, 3),
            **figures(report, seconds),
            "clients_kept_up": kept_up(report, seconds),
        }
        for work, (_, job), report in zip(("search", "index"), jobs, together(jobs), strict=True)
    }
