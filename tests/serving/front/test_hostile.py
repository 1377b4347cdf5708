"""Clients that hold on to what others need, a Triton server that hangs, and a door that died with a video under way."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.export.bundle.limits import MAX_REQUEST_BYTES
from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.front import body
from framesift.serving.front import messages as reading
from framesift.serving.front.arena import Arena
from framesift.serving.front.envoy import configuration
from framesift.serving.front.messages import Messages
from framesift.serving.front.status import Refusal
from framesift.serving.front.v1.problems import problem

from ...waiting import LIMIT_S, until
from .alone import standing
from .asked_over_http import ask
from .requests_of import framed

NAME = f"framesift-hostile-{os.getpid()}-arena"
SLOT = 1 << 16


@pytest.fixture
def made() -> Iterator[list[Arena]]:
    arenas: list[Arena] = []
    yield arenas
    for arena in arenas:
        arena.close()
    for path in Path("/dev/shm").glob(f"{NAME}-*"):
        path.unlink()


@pytest.fixture(scope="module")
def door(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    with standing(bundle.root, tmp_path_factory.mktemp("run")) as both:
        yield both


def drips(parts: list[bytes]):
    """A body that comes in these parts, and then says neither that it ends nor that the client has left."""
    left = iter(parts)

    async def receive() -> dict:
        for part in left:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": part, "more_body": True}
        await asyncio.sleep(60)
        raise AssertionError

    return receive


def test_a_message_that_nobody_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE_S", 0.1)

    async def read() -> None:
        messages = Messages(drips([framed(b"abc")]))
        prefix = await messages.begin()
        assert prefix is not None
        assert await messages.whole(prefix) == b"abc"
        await messages.end()

    with pytest.raises(Refusal, match="nothing more of the message"):
        asyncio.run(asyncio.wait_for(read(), 10))


@pytest.mark.parametrize("parts", [[bytes([value]) for value in framed(b"abcdefghijkl" * 20)], [b""] * 200])
def test_a_message_that_drips_is_given_up(parts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE_S", 0.3)

    async def read() -> None:
        messages = Messages(drips([framed(b"abcdefghijkl" * 20)[:6], *parts] if not parts[0] else parts))
        prefix = await messages.begin()
        assert prefix is not None
        await messages.whole(prefix)

    with pytest.raises(Refusal, match="nothing more of the message"):
        asyncio.run(asyncio.wait_for(read(), 10))


def test_a_caller_leaves_a_slot_for_others(made: list[Arena]) -> None:
    async def ask() -> None:
        arena = Arena(NAME, 3, 2, SLOT, 3 * SLOT)
        made.append(arena)
        async with arena.slot("many", 100), arena.slot("many", 100):
            third = asyncio.ensure_future(arena.slot("many", 100).__aenter__())
            await asyncio.sleep(0.05)
            assert not third.done()
            async with arena.slot("one", 100):
                assert not third.done()
            # A caller that gives up its place in the queue holds nothing.
            third.cancel()
        async with arena.slot("many", 100), arena.slot("one", 100), arena.slot("many", 100):
            pass

    asyncio.run(ask())


def test_what_a_door_that_died_had_sent_stays_as_it_is(made: list[Arena]) -> None:
    async def die() -> str:
        first = Arena(NAME, 2, 2, SLOT, 2 * SLOT)
        made.append(first)
        async with first.slot("a", 100) as slot:
            start = slot.begin()
            slot.write(b"a video that Triton server has not read yet")
            second = Arena(NAME, 2, 2, SLOT, 2 * SLOT)
            made.append(second)
            async with second.slot("b", 100) as other:
                other.begin()
                other.write(b"x" * 100)
                assert other.region != slot.region
                return Path("/dev/shm", first.region).read_bytes()[start : start + 43].decode()

    assert asyncio.run(die()) == "a video that Triton server has not read yet"


def test_paths_that_can_not_be_read_are_answered(door: tuple) -> None:
    address, _ = door
    connection = http.client.HTTPConnection(address, timeout=60)
    for path, status in (("/?q=%ff", 404), ("/v2/health/live", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, path


@pytest.mark.parametrize(
    "path", ["/%ff", "/v1/videos/a%20b", "/v1/videos/a%2Fb", "/v1%5Cvideos", "/v2/models/%73earch?x=1"]
)
def test_a_path_with_an_escape_is_answered_with_problem_details(path: str, door: tuple) -> None:
    address, _ = door
    for method in ("GET", "POST", "DELETE"):
        answer = ask(address, path, b"{}" if method == "POST" else None, method)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
        assert (answer.json["status"], answer.json["code"]) == (404, "not-found")
        assert "query string" in answer.json["detail"]


def test_a_client_that_leaves_within_its_request_is_no_error(door: tuple) -> None:
    address, run = door
    host, _, port = address.rpartition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"POST /v2/models/search/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            time.sleep(0.2)
    until(lambda: b'code="CANCELLED"' in ask(address, "/metrics").body)
    assert "internal error" not in run.log.read_text()


@pytest.mark.slow
@pytest.mark.server
def test_a_triton_server_that_hangs_is_not_ready_and_does_not_take_the_door_along(
    server, client: Client, indexed: list
) -> None:
    door = server.door_pid
    until(client.ready)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        until(lambda: not client.ready())
        # Longer than the door's own silence may be.
        time.sleep(18)
        assert server.door_pid == door
    finally:
        os.kill(server.pid, signal.SIGCONT)
    client.wait_ready(LIMIT_S)
    assert client.search(indexed[0].captions[0], top=3).hits
    assert server.door_pid == door


@pytest.mark.server
def test_the_doors_death_leaves_triton_servers_memory_alone(server, client: Client, indexed: list) -> None:
    def names() -> set[str]:
        return {
            path.name for path in Path("/dev/shm").glob(f"{server.shared_memory_prefix}*") if "arena" not in path.name
        }

    before, door = names(), server.door_pid
    os.kill(door, signal.SIGKILL)
    until(lambda: server.door_pid not in (door, 0))
    client.wait_ready(LIMIT_S)
    assert before <= names()
    assert client.encode_video(indexed[0].video).tensors


def test_a_body_over_http_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PATIENCE_S", 0.3)
    with pytest.raises(Refusal, match="nothing more of the message") as caught:
        asyncio.run(asyncio.wait_for(body.whole(drips([b"x"] * 400), 1000), 10))
    told = json.loads(problem(caught.value).body)
    assert (told["status"], told["code"]) == (400, "invalid-request")


def test_envoy_gives_no_upload_up_that_the_door_waits_for() -> None:
    told = json.dumps(configuration("127.0.0.1", 1))
    (given,) = re.findall(r'"request_timeout": "(\d+)s"', told)
    assert int(given) > body.PATIENCE_S + MAX_REQUEST_BYTES / body.SLOWEST
