"""Searches beyond what the server can answer are refused at once, and nothing of them remains."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidQuery, ServerUnavailable
from framesift.export.bundle.scorers import TOPK_ATTENTION
from framesift.serving.backends.admission import AdmissionControl, Completed
from framesift.serving.backends.cpu_accounting import COMPUTE, PROCESS
from framesift.serving.client.aio import AsyncClient
from framesift.serving.client.results import SearchResult
from framesift.serving.client.sync import Client
from framesift.serving.server.processes import model_processes

SECOND = 1_000_000_000
LIMIT = TOPK_ATTENTION.texts_in_flight
AT_ONCE = 8 * LIMIT
SECONDS = 2.5
STEPS = ("tokenizer", "text_encoder", "gallery_search")


class Clock:
    """The time in nanoseconds, told by the test."""

    def __init__(self) -> None:
        # Behind the real time, and above zero however recently the machine was started.
        self.now = time.monotonic_ns() // 2

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def completed(tmp_path: Path) -> Completed:
    return Completed(tmp_path / "completed")


@pytest.fixture
def admission(completed: Completed, clock: Clock) -> AdmissionControl:
    return AdmissionControl(completed, 8, clock)


def admit(admission: AdmissionControl, clock: Clock, *texts: int) -> tuple[int, list[bool]]:
    """The stamp of one execution a millisecond later, and whether its searches were admitted."""
    clock.now += SECOND // 1000
    stamp = admission.next_stamp()
    return stamp, [admission.admit(count) for count in texts]


def test_no_more_than_the_limit_are_let_in(admission: AdmissionControl, clock: Clock) -> None:
    assert admit(admission, clock, *[1] * 6)[1] == [True] * 6
    assert admit(admission, clock, *[1] * 4)[1] == [True, True, False, False]
    assert admission.in_flight == 8


def test_a_search_with_many_texts_has_a_larger_limit(admission: AdmissionControl, clock: Clock) -> None:
    assert admit(admission, clock, 7, 32, 1, 32)[1] == [True, True, False, True]
    assert admit(admission, clock, 32, 32, 32)[1] == [True, True, False]
    assert admission.in_flight == 7 + 4 * 32


def test_who_comes_out_makes_room(admission: AdmissionControl, clock: Clock, completed: Completed) -> None:
    first, _ = admit(admission, clock, 5)
    second, _ = admit(admission, clock, 3)
    assert admit(admission, clock, 1)[1] == [False]
    completed.complete(first)
    assert admission.in_flight == 3
    completed.complete(second)
    assert admission.in_flight == 0


def test_who_fails_on_the_way_is_out_with_the_next(
    admission: AdmissionControl, clock: Clock, completed: Completed
) -> None:
    for _ in range(7):
        admit(admission, clock, 1)
    last, _ = admit(admission, clock, 1)
    completed.complete(last)
    assert admission.in_flight == 0


def test_who_fails_at_once_does_not_count(admission: AdmissionControl, clock: Clock) -> None:
    for _ in range(100):
        assert admit(admission, clock, 2, 2)[1] == [True, True]
        admission.release(2)
        admission.release(2)
    assert admission.in_flight == 0


def test_where_nobody_comes_out_the_lost_are_forgotten(
    admission: AdmissionControl, clock: Clock, completed: Completed
) -> None:
    admit(admission, clock, 8)
    clock.now += 9 * SECOND
    assert admission.in_flight == 8
    clock.now += 2 * SECOND
    assert admission.in_flight == 0
    # Once the time of a search is known, here 5 ms, one second is enough.
    completed.complete(time.monotonic_ns() - SECOND // 200)
    clock.now = completed.stamp
    admit(admission, clock, 8)
    clock.now += SECOND * 9 // 10
    assert admission.in_flight == 8
    clock.now += SECOND // 5
    assert admission.in_flight == 0


def test_what_came_out_outlives_the_processes(completed: Completed, tmp_path: Path) -> None:
    stamp = time.monotonic_ns() - SECOND
    completed.complete(stamp)
    again = Completed(tmp_path / "completed")
    assert again.stamp == stamp
    assert SECOND <= again.took_ns < 2 * SECOND
    again.complete(stamp - 1)
    again.complete(time.monotonic_ns() + 3600 * SECOND)
    assert completed.stamp == stamp


async def flood(address: str) -> tuple[list[SearchResult], list[float], list[float]]:
    """Many times what is let in, kept up for a while: the answers, their times, and those of refusals, in seconds."""
    answers: list[SearchResult] = []
    answered: list[float] = []
    refused: list[float] = []
    async with AsyncClient(address, timeout_s=10, retry=False) as client:
        # Connects, and asks for the configuration.
        await client.search("a query before the flood")
        end = time.monotonic() + SECONDS

        async def ask(number: int) -> None:
            while (started := time.monotonic()) < end:
                try:
                    answers.append(await client.search(f"query {number} of a flood", top=5))
                    answered.append(time.monotonic() - started)
                except ServerUnavailable:
                    refused.append(time.monotonic() - started)

        await asyncio.gather(*map(ask, range(AT_ONCE)))
    return answers, answered, refused


async def together(address: str, count: int) -> list[SearchResult]:
    """As many searches at once, none of which may be refused."""
    async with AsyncClient(address, timeout_s=10, retry=False) as client:
        return await asyncio.gather(*(client.search(f"query {n} at once", top=5) for n in range(count)))


@pytest.mark.server
def test_a_flood_is_refused_and_leaves_nothing_behind(server, indexed: list) -> None:
    # Any other exception, a deadline too, ends the test.
    answers, answered, refused = asyncio.run(flood(server.grpc_address))
    assert all(len(answer.hits) == 5 for answer in answers)
    assert len(answered) >= LIMIT
    assert len(refused) >= LIMIT
    # At once: without a place in a queue, where it would wait as long as those that were let in.
    assert sorted(refused)[len(refused) // 2] < 1.0
    # All are out, or so many could not be let in together.
    assert len(asyncio.run(together(server.grpc_address, LIMIT))) == LIMIT


@pytest.mark.server
def test_metrics_tell_what_processes_compute(server, client: Client) -> None:
    def seconds(metric: str) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {name: float(s) for name, s in re.findall(rf'^{metric}{{model="(\w+)"}} (\S+)$', text, re.MULTILINE)}

    client.search("a query before")
    before, deadline = seconds(COMPUTE), time.monotonic() + 10
    # Processes report once a second.
    while not all(seconds(COMPUTE)[name] > before[name] for name in STEPS):
        assert time.monotonic() < deadline
        client.search("a query to compute")
        time.sleep(0.1)
    compute, process = seconds(COMPUTE), seconds(PROCESS)
    assert all(0 < compute[name] < process[name] for name in STEPS)


@pytest.mark.server
def test_indexing_stands_back(server) -> None:
    processes = {process.model: process.pid for process in model_processes(server.pid)}
    nice = {model: os.getpriority(os.PRIO_PROCESS, pid) for model, pid in processes.items()}
    behind = {name for name, value in nice.items() if value > nice["tokenizer"]}
    assert behind == {"video_decoder", "video_encoder", "gallery_index"}
    # LanceDB does its work, merging files too, in threads of its own.
    threads = Path(f"/proc/{processes['gallery_index']}/task").iterdir()
    lance = [int(thread.name) for thread in threads if "lance" in (thread / "comm").read_text()]
    assert lance
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in lance} == {nice["gallery_index"]}


@pytest.mark.server
def test_searches_that_fail_do_not_count(server, client: Client) -> None:
    for _ in range(2 * LIMIT):
        with pytest.raises(InvalidQuery):
            client.search("&nbsp;")
    assert len(asyncio.run(together(server.grpc_address, LIMIT))) == LIMIT


@pytest.mark.server
def test_more_than_is_let_in_is_answered_to_patient_clients(server) -> None:
    async def ask() -> list[list[SearchResult]]:
        async with AsyncClient(server.grpc_address) as client:
            many = client.search_many([f"text {n} of many" for n in range(8 * LIMIT)], top=1)
            return await asyncio.gather(many, *(client.search_many([f"text {n}"]) for n in range(2 * LIMIT)))

    many, *others = asyncio.run(ask())
    assert [result.query for result in many] == [f"text {n} of many" for n in range(8 * LIMIT)]
    assert len(others) == 2 * LIMIT
