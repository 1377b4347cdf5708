"""A short real load on a real server."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from framesift.bench.inputs import queries
from framesift.bench.load.clients import Clients, soon, together
from framesift.bench.load.figures import timeline
from framesift.bench.load.jobs import Job, Work
from framesift.bench.load.measurement_window import Observer, closed_loop
from framesift.bench.load.sources import Searches
from framesift.bench.load.target import existing
from framesift.export.bundle.models import GALLERY_SEARCH, SEARCH
from framesift.serving.server.processes import model_processes

pytestmark = pytest.mark.server
# A rate that the smallest machine can answer, and a pause in which fewer requests arrive than are let in at once.
RATE, PAUSE_S = 25.0, 0.8
# So long that the pause lies within it, though its thread or the clients come late.
_WHILE_S = 6.0


def test_load_is_counted_as_the_server_counts_it_and_a_stall_shows_in_the_open_loop(server) -> None:
    with (
        existing(server.address, server.address) as target,
        Observer(target) as observer,
        Clients(Work(target.address, Searches(queries.generate(200))), 1) as clients,
    ):
        assert target.pid == server.pid
        row = closed_loop(observer, clients, 2, 4.0, scenario="search")
        # Searches that wait for one another go together.
        for model in (SEARCH, GALLERY_SEARCH):
            assert 0 < row.server.models[model].requests <= row.requests
        assert row.errors == {}
        assert row.qps > 0
        for process in ("tritonserver", "door", GALLERY_SEARCH):
            assert row.server.processes[process].cpu_s > 0
        assert row.client_cpu_s > 0

        with _pause(server.pid, GALLERY_SEARCH):
            job = Job("open", soon(), _WHILE_S, rate=RATE)
            (report,), use = observer.during(partial(together, [(clients, job)]))
        row = observer.window(job, report, use, scenario="search")
    assert 0 < row.server.models[SEARCH].requests <= row.requests == len(report.outcome)
    # Who arrived early in the pause waited for the rest of it; a closed loop of one would have one slow request.
    waited = report.latency > PAUSE_S / 2
    assert waited.sum() > RATE * PAUSE_S / 8
    assert sum(point.sent for point in timeline(report, _WHILE_S)) == row.requests


def test_patient_clients_send_what_was_refused_again(server) -> None:
    with (
        Clients(Work(server.address, Searches(queries.generate(200))), 1) as clients,
        _pause(server.pid, GALLERY_SEARCH),
    ):
        (report,) = together([(clients, Job("open", soon(), _WHILE_S, rate=4 * RATE, patient=True))])
    assert report.succeeded.all()
    again = report.retried > 0
    assert again.any()
    assert not again.all()
    # Every wait counts.
    assert report.latency[again].min() > 0.025


def test_an_interrupted_job_tells_what_it_sent(server) -> None:
    looks = itertools.count()

    def interrupt() -> None:
        # It is called some four times a second while the job runs.
        if next(looks) >= 16:
            raise KeyboardInterrupt

    with Clients(Work(server.address, Searches(queries.generate(200))), 2) as clients:
        (report,) = together([(clients, Job("open", soon(), 60.0, rate=RATE))], interrupt, keep=True)
        assert 0 < len(report.outcome) < 40 * RATE
        assert report.succeeded.all()
        (after,) = together([(clients, Job("closed", soon(), 3.0, concurrency=2))])
        assert after.succeeded.any()
        with pytest.raises(KeyboardInterrupt):
            together([(clients, Job("open", soon(), 60.0, rate=RATE))], interrupt)


@contextlib.contextmanager
def _pause(server: int, model: str) -> Iterator[None]:
    """The model's processes stand still for a while, a second after the block has begun."""
    processes = [process.pid for process in model_processes(server) if process.model == model]

    def pause() -> None:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE_S)
        for pid in processes:
            os.kill(pid, signal.SIGCONT)

    timer = threading.Timer(1.0, pause)
    timer.start()
    yield
    timer.join()
