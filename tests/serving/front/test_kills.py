"""What health says while Triton server is dead. That searches go on then is one of the attacks (`tests/attacks`)."""

from __future__ import annotations

import os
import signal
import time

import pytest

from framesift.serving.client.sync import Client
from framesift.serving.server.admin import Admin

pytestmark = pytest.mark.server


def busy() -> float:
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def until(condition, limit_s: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s
        time.sleep(0.02)
    return time.monotonic() - started


def test_health_says_when_searches_are_not_answered(server, client: Client, indexed: list) -> None:
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not client.ready(), 5 * busy())
    until(client.ready, 20 * busy())
    assert client.search(indexed[0].captions[0], top=3).hits
    until(lambda: not Admin(server.triton_socket).unloaded(), 60 * busy())
