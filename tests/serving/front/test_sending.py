"""What is kept of a client that has left, and what is told of one that does not read."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from framesift.serving.front import sending, streams
from framesift.serving.front.access import Access
from framesift.serving.front.call import Call
from framesift.serving.front.deployment import public_models
from framesift.serving.front.jobs import Jobs
from framesift.serving.front.record import Record
from framesift.serving.front.records import Records
from framesift.serving.front.replies import Reply, Stream, send_reply
from framesift.serving.front.sending import telling
from framesift.serving.front.status import ClientGone
from framesift.serving.repository.render import reference_manifest

from ...waiting import until_async
from .requests_of import framed, request, search

PUBLIC = public_models(reference_manifest())


class Held:
    """What a request holds."""


def test_nothing_is_kept_of_requests_whose_clients_have_left() -> None:
    gone = OSError("the client has left")
    held: list[weakref.ref[Held]] = []

    async def send(event: object) -> None:
        # As pyvoy does: one object for all.
        future = asyncio.get_running_loop().create_future()
        future.set_exception(gone)
        await future

    async def answer() -> None:
        own = Held()
        held.append(weakref.ref(own))
        try:
            raise KeyError("what the answer tells of")
        except KeyError:
            await telling(send, lambda size: None, lambda parts: None)({"type": "http.response.start"})

    async def answers() -> None:
        for _ in range(10):
            with pytest.raises(ClientGone):
                await answer()

    asyncio.run(answers())
    gc.collect()
    assert [each() for each in held] == [None] * 10
    assert gone.__traceback__ is None


PART = {"type": "http.response.body", "body": b"x", "more_body": True}
END = {"type": "http.response.body", "body": b""}


class Server:
    """Takes what it is sent: a part that others follow only when it is told to."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.room = asyncio.get_running_loop().create_future()

    def send(self, event: dict) -> asyncio.Future:
        self.events.append(event)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return self.room if event.get("more_body") else done


@pytest.mark.parametrize("trailers", [False, True])
def test_an_answer_of_which_too_little_is_read_is_given_up_and_ends_once_it_is_read(
    trailers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "UNREAD_S", 0.05)
    told: list[int] = []

    async def answer() -> None:
        server = Server()
        send = telling(server.send, lambda size: None, told.append)
        await send({"type": "http.response.start", "status": 200, "trailers": trailers})
        with pytest.raises(ClientGone):
            await asyncio.wait_for(send(PART), 10)
        # It lies there still, and nothing fits behind it.
        assert (told, len(server.events), server.room.cancelled()) == ([1], 2, False)
        server.room.set_result(None)
        await until_async(lambda: told == [1, -1])
        assert server.events[2] == END
        assert [event["headers"] for event in server.events[3:]] == [[(b"grpc-status", b"1")]] * trailers

    asyncio.run(answer())


def test_what_lies_there_of_an_answer_that_was_given_up_is_gone_with_its_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "UNREAD_S", 0.05)
    told: list[int] = []

    async def answer() -> None:
        server = Server()
        with pytest.raises(ClientGone):
            await asyncio.wait_for(telling(server.send, lambda size: None, told.append)(PART), 10)
        server.room.set_exception(OSError())
        await until_async(lambda: told == [1, -1])
        assert server.events == [PART]

    asyncio.run(answer())


def test_what_is_read_in_time_and_an_answers_end_are_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    async def answer() -> None:
        server = Server()
        send = telling(server.send, lambda size: None, told.append)
        asyncio.get_running_loop().call_later(0.05, server.room.set_result, None)
        await send(PART)
        monkeypatch.setattr(sending, "UNREAD_S", 0.0)
        await send(END)

    asyncio.run(answer())
    assert told == []


def test_a_film_that_is_not_read_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "UNREAD_S", 0.05)
    closed: list[None] = []

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    async def answer() -> None:
        film = Reply(200, stream=Stream(1 << 20, parts(), lambda: closed.append(None)))
        send = telling(Server().send, lambda size: None, lambda answers: None)
        with pytest.raises(ClientGone):
            await asyncio.wait_for(send_reply({"method": "GET"}, send, film), 10)

    asyncio.run(answer())
    assert closed == [None]


def test_a_stream_whose_answers_are_not_read_ends_though_its_client_says_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "UNREAD_S", 0.05)

    class Nobody:
        """Knows no model, so that every request is answered with an error."""

        def chosen(self, name: bytes | None) -> Any:
            return SimpleNamespace(records=Records(), jobs=Jobs(PUBLIC, None))

    async def answer() -> None:
        server = Server()
        raw = framed(request("absent", search()).SerializeToString())
        asked = iter([{"type": "http.request", "body": raw, "more_body": True}])

        def receive() -> asyncio.Future:
            future = asyncio.get_running_loop().create_future()
            for event in asked:
                future.set_result(event)
                break
            return future

        scope = {"path": "/a/b", "client": ("1.1.1.1", 1)}
        send = telling(server.send, lambda size: None, lambda answers: None)
        call = Call(scope, {}, receive, send, Record("ModelStreamInfer"))
        with pytest.raises(ClientGone):
            await asyncio.wait_for(streams.Stream(call, Access(None), Nobody()).run(), 10)
        assert len(server.events) == 2

    asyncio.run(answer())


@pytest.mark.parametrize("size", [10, 600_000])
def test_a_large_answer_is_handed_over_as_its_client_reads(size: int) -> None:
    message, events, open_ = bytes(range(256)) * (size // 256) + b"end", list[dict](), list[asyncio.Future]()

    async def send(event: dict) -> None:
        events.append(event)
        if event.get("more_body"):
            open_.append(asyncio.get_running_loop().create_future())
            await open_[-1]

    async def answer() -> None:
        scope = {"path": "/a/b", "client": ("1.1.1.1", 1)}
        call = Call(scope, {}, lambda: asyncio.get_running_loop().create_future(), send, Record("ModelInfer"))
        answering = asyncio.ensure_future(call.answer(message))
        while not answering.done():
            await asyncio.sleep(0)
            # Nothing more comes before a part was taken.
            if open_ and not open_[-1].done():
                assert len(events) == len(open_) + 1
                open_[-1].set_result(None)

    asyncio.run(answer())
    bodies = [event for event in events if event["type"] == "http.response.body"]
    assert b"".join(event["body"] for event in bodies) == framed(message)
    assert [event["type"] for event in events][-1] == "http.response.trailers"
    assert [bool(event.get("more_body")) for event in bodies] == ([False] if size < 1000 else [True] * 4 + [False])
    if size > 1000:
        # Before its end it waits until there is room for that.
        assert bodies[-2]["body"] == bodies[-1]["body"] == b""
