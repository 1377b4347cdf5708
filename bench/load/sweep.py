"""A sweep of load up to saturation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...export.bundle.errors import ServerError
from .clients import Clients
from .curve import knee
from .windows import Observer, Row, closed, opened

CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
LOST = 0.01
_WARM_S = 2.0
_WARM_CONCURRENCY = 4

Told = Callable[[Row], None]


def sweep(
    observer: Observer,
    clients: Clients,
    scenario: str,
    seconds: float,
    told: Told,
    *,
    beside: Told = lambda _: None,
    concurrency: Sequence[int] = CONCURRENCY,
    fractions: Sequence[float] = FRACTIONS,
) -> list[Row]:
    """Closed loops of growing concurrency, then open loops at growing parts of the most that those got through.

    ``told`` is called with every row as it is there, and before it ``beside``, which may measure the same level by
    other means. See ``mark_knee`` for ``knee``.
    """
    about = {"scenario": scenario, "knee": False, "perf_analyzer": None}
    warm_up(observer, clients)
    rows = []
    for level in concurrency:
        rows.append(closed(observer, clients, level, seconds, about)[1])
        beside(rows[-1])
        told(rows[-1])
    limit = saturation(rows)
    loaded = []
    for fraction in fractions:
        loaded.append(opened(observer, clients, fraction * limit, seconds, {**about, "fraction": fraction})[1])
        beside(loaded[-1])
        told(loaded[-1])
    mark_knee(loaded)
    return rows + loaded


def mark_knee(rows: Sequence[Row]) -> None:
    """Give ``knee`` to the row of open loops, by ascending rate, at which p99 turns up.

    A level at which more than ``LOST`` of the requests had no answer counts as being as slow as the slowest: a server
    that refuses what it can't do stays fast for the others.
    """
    known = [row for row in rows if row["p99_ms"] is not None]
    slowest = max((row["p99_ms"] for row in known), default=0.0)
    lost = [sum(row["errors"].values()) > LOST * row["requests"] for row in known]
    latencies = [slowest if gone else row["p99_ms"] for gone, row in zip(lost, known, strict=True)]
    place = knee([row["offered_qps"] for row in known], latencies)
    if place is not None:
        known[place]["knee"] = True


def warm_up(observer: Observer, clients: Clients) -> None:
    """Fill caches and threads; nothing of it is kept."""
    closed(observer, clients, _WARM_CONCURRENCY, _WARM_S, {})


def saturation(rows: Sequence[Row]) -> float:
    """The most answers a second of closed loops.

    Raises:
        ServerError: there was none.
    """
    most = float(max(row["qps"] for row in rows))
    if not most:
        raise ServerError(f"the server answered no request in time; it failed with {rows[0]['errors']}")
    return most
