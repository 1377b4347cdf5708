"""A short real load on a real server."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from framesift.bench.load import queries
from framesift.bench.load.clients import Clients
from framesift.bench.load.measure import timeline
from framesift.bench.load.target import existing
from framesift.bench.load.windows import Observer, closed, opened
from framesift.bench.load.worker import Work
from framesift.serving.repository.plan import SEARCH, TOKENIZER
from framesift.serving.server.processes import model_processes

pytestmark = pytest.mark.server
# A rate that the smallest machine can answer, and a pause in which fewer requests arrive than are let in at once.
RATE, PAUSE_S = 25.0, 0.8


def test_load_is_counted_as_the_server_counts_it_and_a_stall_shows_in_the_open_loop(server) -> None:
    with (
        existing(server.grpc_address, server.metrics_address) as target,
        Observer(target) as observer,
        Clients(Work(target.address, queries.generate(200)), 1) as clients,
    ):
        assert target.pid == server.pid
        _, row = closed(observer, clients, 2, 1.0, {})
        for model in (SEARCH, TOKENIZER):
            assert row["models"][model]["requests"] == row["requests"]
        assert row["errors"] == {}
        assert row["qps"] > 0
        assert row["server"]["tritonserver"]["cpu_s"] > 0
        assert row["client_cpu_s"] > 0

        stopped = [process.pid for process in model_processes(server.pid) if process.model == TOKENIZER]
        pause = threading.Timer(1.0, _pause, (stopped,))
        pause.start()
        report, row = opened(observer, clients, RATE, 2.5, {})
        pause.join()
    assert row["models"][SEARCH]["requests"] == row["requests"] == len(report.outcome)
    # Who arrived early in the pause waited for the rest of it; a closed loop of one would have one slow request.
    waited = (report.ended - report.intended) > PAUSE_S / 2
    assert waited.sum() > RATE * PAUSE_S / 8
    assert sum(point["sent"] for point in timeline(report, 2.5)) == row["requests"]


def _pause(processes: list[int]) -> None:
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    for pid in processes:
        os.kill(pid, signal.SIGCONT)
