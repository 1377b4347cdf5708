"""Client processes, as one: split jobs over them and join their reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import get_context
from types import TracebackType
from typing import Any

from ...export.bundle.errors import ServerError
from .jobs import Job, Report, Work, joined
from .worker import STOP, serve

# Between the order and the first request, for the order to reach every process.
_LEAD_S = 0.2
_LOOK_S = 0.25
_END_S = 5.0


class Clients:
    """``count`` processes that send ``work``; a context manager."""

    def __init__(self, work: Work, count: int) -> None:
        self._work, self._count = work, count
        self._processes: list[Any] = []
        self._pipes: list[Any] = []
        self._round = 0

    def __enter__(self) -> Clients:
        context = get_context("spawn")
        for number in range(self._count):
            mine, theirs = context.Pipe()
            work = replace(self._work, seed=self._work.seed * 1000 + number)
            process = context.Process(target=serve, args=(work, theirs), name=f"client {number}", daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(mine)
        for pipe in self._pipes:
            self._receive(pipe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                continue
        for process in self._processes:
            # The report of a job that an error cut short is dropped.
            if kind is None:
                process.join(_END_S)
            if process.is_alive():
                process.kill()

    def start(self, job: Job) -> list[Any]:
        """Begin a job, whose rate or concurrency is shared out; its pipes, for ``collect``."""
        used = []
        self._round += 1
        for number, pipe in enumerate(self._pipes):
            concurrency = job.concurrency // self._count + (number < job.concurrency % self._count)
            rate = job.rate / self._count
            if (job.loop == "closed" and not concurrency) or (job.loop == "open" and not rate):
                continue
            seed = (self._round * self._count + number) * 7919 + job.seed
            pipe.send(replace(job, concurrency=concurrency, rate=rate, seed=seed))
            used.append(pipe)
        return used

    def collect(self, pipes: Sequence[Any]) -> Report:
        """The joined report of a job begun with ``start``, once all its answers are there."""
        return joined([self._receive(pipe) for pipe in pipes])

    def stop(self, pipes: Sequence[Any]) -> None:
        """Have a job begun with ``start`` send no more; ``collect`` then returns what it has sent."""
        for pipe in pipes:
            pipe.send(STOP)

    def finished(self, pipes: Sequence[Any]) -> bool:
        """Whether ``collect`` would return at once."""
        return all(pipe.poll() for pipe in pipes)

    def _receive(self, pipe: Any) -> Any:
        try:
            told = pipe.recv()
        except EOFError as error:
            raise ServerError("a client process ended by itself: what it printed says why") from error
        if isinstance(told, Exception):
            raise told
        return told


def together(
    jobs: Sequence[tuple[Clients, Job]], meanwhile: Callable[[], object] = lambda: None, *, keep: bool = False
) -> list[Report]:
    """Run jobs of several clients, each beginning at its own start; ``meanwhile`` is called now and then.

    With ``keep`` an interrupt (Ctrl-C) ends the jobs, and the reports of what was sent until then are returned.
    """
    begun = [(clients, clients.start(job)) for clients, job in jobs]
    try:
        while not all(clients.finished(pipes) for clients, pipes in begun):
            meanwhile()
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        if not keep:
            raise
        for clients, pipes in begun:
            clients.stop(pipes)
    return [clients.collect(pipes) for clients, pipes in begun]


def soon() -> float:
    """A moment for a job to start."""
    return time.monotonic() + _LEAD_S
