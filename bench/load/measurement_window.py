"""One window of load, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from ..schema.load import ServerUse, Window
from .clients import Clients, soon, together
from .cpu_accounting import accounts, compute_share, with_compute
from .figures import answers, corrected_tail, kept_up
from .jobs import Job, Report
from .processes import spent, usage
from .server_statistics import Statistics, between
from .target import Target


class Observer:
    """Reads the server's statistics and processes before and after windows of load; a context manager."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._statistics = Statistics(target.address)

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._statistics.close()

    def during(self, load: Callable[[], list[Report]]) -> tuple[list[Report], ServerUse]:
        """What ``load`` returned, and what it cost the server."""
        pid, metrics = self.target.pid, self.target.metrics
        counters, told, before = self._statistics.read(), accounts(metrics), usage(pid) if pid else {}
        done = load()
        processes = spent(before, usage(pid)) if pid else {}
        processes = with_compute(processes, told, accounts(metrics))
        models = between(counters, self._statistics.read())
        return done, ServerUse(processes=processes, models=models, compute_share=compute_share(processes))

    def window(self, job: Job, report: Report, server: ServerUse, **about: Any) -> Window:
        """The row of a job; ``about`` are fields of ``Window``."""
        if job.loop == "closed":
            about |= {"concurrency": job.concurrency, "corrected": corrected_tail(report)}
        else:
            about |= {"offered_qps": round(job.rate, 3), "clients_kept_up": kept_up(report, job.seconds)}
        about |= vars(answers(report, job.seconds))
        return Window(loop=job.loop, model=self.target.model, videos=self.target.videos, server=server, **about)


def closed_loop(observer: Observer, clients: Clients, concurrency: int, seconds: float, **about: Any) -> Window:
    """A window with ``concurrency`` requests in flight all the time."""
    return _measured(observer, clients, Job("closed", soon(), seconds, concurrency=concurrency), **about)


def open_loop(observer: Observer, clients: Clients, rate: float, seconds: float, **about: Any) -> Window:
    """A window in which requests arrive at ``rate`` a second, whatever the server does."""
    return _measured(observer, clients, Job("open", soon(), seconds, rate=rate), **about)


def _measured(observer: Observer, clients: Clients, job: Job, **about: Any) -> Window:
    (report,), server = observer.during(partial(together, [(clients, job)]))
    return observer.window(job, report, server, **about)
