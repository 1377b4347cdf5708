"""A sweep of load up to saturation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...export.bundle.errors import ServerError
from ..schema.load import Window
from .clients import Clients
from .knee import with_knee
from .measurement_window import Observer, closed_loop, open_loop

CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
_WARM_S = 2.0
_WARM_CONCURRENCY = 4

OnRow = Callable[[Window], object]


def sweep(
    observer: Observer,
    clients: Clients,
    scenario: str,
    seconds: float,
    on_row: OnRow,
    *,
    beside: Callable[[Window], Window] = lambda row: row,
    concurrency: Sequence[int] = CONCURRENCY,
    fractions: Sequence[float] = FRACTIONS,
) -> list[Window]:
    """Closed loops of growing concurrency, then open loops at growing parts of the most that those got through.

    ``on_row`` is called with every row as it is there, and before it ``beside``, which may measure the same level by
    other means and add that to the row.
    """
    warm_up(observer, clients)
    closed = []
    for level in concurrency:
        closed.append(beside(closed_loop(observer, clients, level, seconds, scenario=scenario)))
        on_row(closed[-1])
    limit = saturation(closed)
    opened = []
    for fraction in fractions:
        row = open_loop(observer, clients, fraction * limit, seconds, scenario=scenario, fraction=fraction)
        opened.append(beside(row))
        on_row(opened[-1])
    return closed + with_knee(opened)


def warm_up(
    observer: Observer, clients: Clients, concurrency: int = _WARM_CONCURRENCY, seconds: float = _WARM_S
) -> None:
    """Fill caches and threads; nothing of it is kept."""
    closed_loop(observer, clients, concurrency, seconds, scenario="")


def saturation(rows: Sequence[Window]) -> float:
    """The most answers a second of closed loops.

    Raises:
        ServerError: there was none.
    """
    most = max(row.qps for row in rows)
    if not most:
        raise ServerError(f"the server answered no request in time; it failed with {dict(rows[0].errors)}")
    return most
