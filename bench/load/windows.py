"""One window of load, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

from .accounts import accounts, compute_share, with_compute
from .clients import Clients, soon, together
from .measure import closed_figures, figures, kept_up
from .processes import spent, usage
from .server_statistics import Statistics, between
from .target import Target
from .worker import Job, Report

Row = dict[str, Any]


class Observer:
    """Reads the server's statistics and processes before and after windows of load; a context manager."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._statistics = Statistics(target.address)

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._statistics.close()

    def during(self, load: Callable[[], Any]) -> tuple[Any, Row]:
        """What ``load`` returned, and the part of a row that tells of the server meanwhile."""
        pid = self._target.pid
        counters, told, before = self._statistics.read(), accounts(self._target.metrics), usage(pid) if pid else {}
        done = load()
        server = spent(before, usage(pid)) if pid else {}
        server = with_compute(server, told, accounts(self._target.metrics))
        return done, {
            "model": self._target.model,
            "videos": self._target.videos,
            "server": server,
            "compute_share": compute_share(server),
            "models": between(counters, self._statistics.read()),
        }


def closed(
    observer: Observer, clients: Clients, concurrency: int, seconds: float, about: Mapping[str, Any]
) -> tuple[Report, Row]:
    """A window with ``concurrency`` requests under way all the time."""
    job = Job("closed", soon(), seconds, concurrency=concurrency)
    (report,), server = observer.during(partial(together, [(clients, job)]))
    return report, {**about, "loop": "closed", **closed_figures(report, seconds, concurrency), **server}


def opened(
    observer: Observer, clients: Clients, rate: float, seconds: float, about: Mapping[str, Any]
) -> tuple[Report, Row]:
    """A window in which requests arrive at ``rate`` a second, whatever the server does."""
    job = Job("open", soon(), seconds, rate=rate)
    (report,), server = observer.during(partial(together, [(clients, job)]))
    return report, {
        **about,
        "loop": "open",
        "offered_qps": round(rate, 3),
        **figures(report, seconds),
        "clients_kept_up": kept_up(report, seconds),
        **server,
    }
