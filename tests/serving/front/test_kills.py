"""Triton server and the door, killed while clients search: a pause, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from framesift.export.bundle.errors import DeadlineExceeded, ServerUnavailable
from framesift.serving.client.sync import Client
from framesift.serving.server.admin import Admin

pytestmark = pytest.mark.server
KILLS = 2
# On a machine with nothing else to do: two seconds for the search models, less than one for the door.
DEADLINE_S = 5.0


def busy() -> float:
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


@contextlib.contextmanager
def searching(address: str, query: str) -> Iterator[list[BaseException]]:
    """Four clients that search until the block ends; what they met besides answers."""
    errors: list[BaseException] = []
    ended = threading.Event()
    answers = [0] * 4

    def search(number: int) -> None:
        with Client(address, timeout_s=DEADLINE_S * busy()) as client:
            while not ended.is_set():
                try:
                    assert len(client.search(query, top=3).hits) == 3
                    answers[number] += 1
                except BaseException as error:
                    errors.append(error)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield errors
        before = list(answers)
        time.sleep(1)
        # Every one is answered at the end as at the beginning.
        deadline = time.monotonic() + DEADLINE_S * busy()
        while any(now <= then for now, then in zip(answers, before, strict=True)):
            assert time.monotonic() < deadline, (answers, before)
            time.sleep(0.05)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def until(condition, limit_s: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.mark.parametrize("process", ["tritonserver", "door"])
def test_searches_go_on_when_a_process_is_killed(process: str, server, client: Client, indexed: list) -> None:
    query = indexed[0].captions[0]
    before = [hit.id for hit in client.search(query).hits]

    def pid() -> int:
        return server.pid if process == "tritonserver" else server.door_pid

    with searching(server.address, query) as errors:
        for _ in range(KILLS):
            time.sleep(0.5)
            killed = pid()
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: pid() not in (killed, 0), 10 * busy())
            until(client.ready, 20 * busy())
    # Beside others' work the pause may be longer than what clients wait for, and they are told so.
    assert all(isinstance(error, ServerUnavailable | DeadlineExceeded) for error in errors), errors
    if busy() < 1.5:
        assert errors == []
    assert [hit.id for hit in client.search(query).hits] == before
    # What searches do not need is loaded after them, and indexing goes on too.
    until(lambda: not Admin(server.triton_socket).unloaded(), 60 * busy())
    assert client.lookup([indexed[0].video.name]).digests
    assert client.encode_video(indexed[0].video).tensors


def test_health_says_when_searches_are_not_answered(server, client: Client, indexed: list) -> None:
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not client.ready(), 5 * busy())
    until(client.ready, 20 * busy())
    assert client.search(indexed[0].captions[0], top=3).hits
    until(lambda: not Admin(server.triton_socket).unloaded(), 60 * busy())
