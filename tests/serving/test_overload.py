"""Searches beyond what the server can answer are refused at once, and nothing of them remains."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidQuery, ServerUnavailable
from framesift.export.bundle.scorers import TOPK_ATTENTION
from framesift.serving.backends.cpu_accounting import COMPUTE, PROCESS
from framesift.serving.client import sending
from framesift.serving.client.aio import AsyncClient
from framesift.serving.client.results import SearchResult
from framesift.serving.client.sync import Client
from framesift.serving.server.processes import model_processes

from ..waiting import until

LIMIT = TOPK_ATTENTION.texts_in_flight
AT_ONCE = 8 * LIMIT
SECONDS = 2.5
STEPS = ("text_encoder", "gallery_search")


async def flood(address: str) -> tuple[list[SearchResult], int]:
    """Many times what is let in, kept up for a while: the answers, and how many were refused."""
    answers: list[SearchResult] = []
    refused = 0
    async with AsyncClient(address, timeout_s=60, retry=False) as client:
        # Connects, and asks for the configuration.
        await client.search("a query before the flood")
        end = time.monotonic() + SECONDS

        def goes_on() -> bool:
            """For longer where the machine comes to little in that time."""
            now = time.monotonic()
            return now < end or (now < end + 60 and min(len(answers), refused) < LIMIT)

        async def ask(number: int) -> None:
            nonlocal refused
            while goes_on():
                try:
                    answers.append(await client.search(f"query {number} of a flood", top=5))
                except ServerUnavailable:
                    refused += 1
                    # Else the clients have the processors, and nobody is answered.
                    await asyncio.sleep(0.1)

        await asyncio.gather(*map(ask, range(AT_ONCE)))
    return answers, refused


async def together(address: str, count: int) -> list[SearchResult]:
    """As many searches at once, none of which may be refused."""
    async with AsyncClient(address, timeout_s=60, retry=False) as client:
        return await asyncio.gather(*(client.search(f"query {n} at once", top=5) for n in range(count)))


@pytest.mark.server
def test_a_flood_is_refused_and_leaves_nothing_behind(server, indexed: list) -> None:
    # Any other exception, a deadline too, ends the test.
    answers, refused = asyncio.run(flood(server.address))
    assert all(len(answer.hits) == 5 for answer in answers)
    assert len(answers) >= LIMIT
    assert refused >= LIMIT
    # All are out, or so many could not be let in together.
    assert len(asyncio.run(together(server.address, LIMIT))) == LIMIT


@pytest.mark.server
def test_metrics_tell_what_processes_compute(server, client: Client) -> None:
    def seconds(metric: str) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return {name: float(s) for name, s in re.findall(rf'^{metric}{{model="(\w+)"}} (\S+)$', text, re.MULTILINE)}

    client.search("a query before")
    before = seconds(COMPUTE)

    def computed() -> bool:
        client.search("a query to compute")
        return all(seconds(COMPUTE)[name] > before[name] for name in STEPS)

    # Processes report once a second.
    until(computed, pause_s=0.1)
    compute, process = seconds(COMPUTE), seconds(PROCESS)
    assert all(0 < compute[name] < process[name] for name in STEPS)


@pytest.mark.server
def test_indexing_stands_back(server) -> None:
    processes = {process.model: process.pid for process in model_processes(server.pid)}
    nice = {model: os.getpriority(os.PRIO_PROCESS, pid) for model, pid in processes.items()}
    behind = {name for name, value in nice.items() if value > nice["text_encoder"]}
    assert behind == {"video_decoder", "video_encoder", "gallery_index"}
    # Lance does its work, merging files too, in threads of its own.
    lance = set()
    for thread in Path(f"/proc/{processes['gallery_index']}/task").iterdir():
        # Some end meanwhile.
        with suppress(OSError):
            if "lance" in (thread / "comm").read_text():
                lance.add(os.getpriority(os.PRIO_PROCESS, int(thread.name)))
    assert lance == {nice["gallery_index"]}


@pytest.mark.server
def test_searches_that_fail_do_not_count(server, client: Client) -> None:
    for _ in range(2 * LIMIT):
        with pytest.raises(InvalidQuery):
            client.search("&nbsp;")
    assert len(asyncio.run(together(server.address, LIMIT))) == LIMIT


@pytest.mark.server
def test_more_than_is_let_in_is_answered_to_patient_clients(server, monkeypatch: pytest.MonkeyPatch) -> None:
    # More patient than by themselves: three seconds are few where others have the processors.
    monkeypatch.setattr(sending, "BUSY_S", 100.0)

    async def ask() -> list[list[SearchResult]]:
        async with AsyncClient(server.address, timeout_s=120) as client:
            many = client.search_many([f"text {n} of many" for n in range(8 * LIMIT)], top=1)
            return await asyncio.gather(many, *(client.search_many([f"text {n}"]) for n in range(2 * LIMIT)))

    many, *others = asyncio.run(ask())
    assert [result.query for result in many] == [f"text {n} of many" for n in range(8 * LIMIT)]
    assert len(others) == 2 * LIMIT
