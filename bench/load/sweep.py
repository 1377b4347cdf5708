"""A sweep of load up to saturation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .clients import Clients
from .curve import knee
from .windows import Observer, Row, closed, opened

CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
# A service slower than this many requests at a level needs longer windows for its percentiles.
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
    other means. The row at the knee of p99 against offered load has ``knee``.
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
    known = [row for row in loaded if row["p99_ms"] is not None]
    place = knee([row["offered_qps"] for row in known], [row["p99_ms"] for row in known])
    if place is not None:
        known[place]["knee"] = True
    return rows + loaded


def warm_up(observer: Observer, clients: Clients) -> None:
    """Fill caches and threads; nothing of it is kept."""
    closed(observer, clients, _WARM_CONCURRENCY, _WARM_S, {})


def saturation(rows: Sequence[Row]) -> float:
    """The most answers a second of closed loops."""
    return float(max(row["qps"] for row in rows))
