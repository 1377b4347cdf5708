"""Whatever a call is given and whatever it is answered, it raises framesift's own exceptions alone."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framesift import AsyncClient, Client, Indexed, VideoRecord
from framesift.errors import ClientError, FramesiftError, InvalidInput, InvalidRequest, ServerError
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, IDS, SCORES, TIMESTAMPS

from ...waiting import until, until_async

FRAMES = np.zeros((1, 3, 3, 32, 32), np.uint8)
RECORD = VideoRecord({FRAME_EMBEDDINGS: np.zeros((3, 8), np.float32)})
# For every call arguments that are answered.
RIGHT: Mapping[str, Mapping[str, Any]] = {
    "search": {"text": "a dog"},
    "search_many": {"texts": ["a dog", "a cat"]},
    "index": {"video": b"video", "id": "an id", "source": "a source", "metadata": {"a": 1}},
    "index_many": {"items": [b"video"], "jobs": 2, "progress": lambda place, result: None, "reached": lambda *_: None},
    "served": {},
    "encode_video": {"video": b"video", "id": "an id"},
    "encode_frames": {"frames": FRAMES},
    "score": {"texts": ["a dog"], "records": [RECORD]},
    "lookup": {"ids": ["an id"]},
    "describe": {"ids": ["an id"]},
    "list_videos": {},
    "count": {},
    "update": {"changes": {"an id": {"a": 1}}},
    "delete": {"ids": ["an id"]},
    "ready": {},
    "wait_ready": {"timeout_s": 60},
    "wait_searchable": {"indexed": Indexed("an id", 0, 0), "timeout_s": 60},
}
ARGUMENTS = [
    (name, argument)
    for name in RIGHT
    for argument in list(inspect.signature(getattr(Client, name)).parameters)[1:]
    # None of the toy server's models reads ids; what can be called may be told of progress.
    if (name, argument) not in {("encode_frames", "ids"), ("index_many", "progress"), ("index_many", "reached")}
]


class Hostile:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __iter__(self) -> Iterator[Any]:
        raise OSError("no")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise MemoryError

    def __fspath__(self) -> str:
        raise RuntimeError("no")


class HostileMapping(dict[str, Any]):
    """A mapping that can't be read."""

    def keys(self) -> Any:
        raise OSError("no")


def endless_mapping() -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    found["itself"] = found
    return found


ODD = [
    None,
    True,
    -1,
    10**400,
    1.5,
    float("nan"),
    float("-inf"),
    Fraction(1, 3),
    1j,
    "",
    "\ud800",
    "a\0b",
    b"",
    b"\xff",
    bytearray(b"video"),
    object(),
    Client,
    Hostile(),
    [],
    [None],
    [[1], [1, 2]],
    ("a", b"b"),
    {"a": object()},
    endless_mapping(),
    HostileMapping(a=1),
    {1, 2},
    np.array(None),
    np.zeros((2, 0)),
    np.zeros(3, [("x", "f4")]),
    np.float32(0.5),
    Path("/no/such\0path"),
    Path("/"),
    VideoRecord({}),
    VideoRecord({FRAME_EMBEDDINGS: np.zeros((3, 8))}).tensors,
    [VideoRecord({FRAME_EMBEDDINGS: "not a number"})],  # type: ignore[dict-item]
    [VideoRecord({FRAME_EMBEDDINGS: 10**400})],  # type: ignore[dict-item]
    [VideoRecord({FRAME_EMBEDDINGS: Hostile()})],  # type: ignore[dict-item]
    [VideoRecord(None)],  # type: ignore[arg-type]
    [VideoRecord({FRAME_EMBEDDINGS: np.zeros((4, 8), np.float32)})],
]
ANYTHING = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.integers(),
    st.floats(),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.none()), max_size=3),
)


def test_every_call_is_tried() -> None:
    calls = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    # The pages of these are calls of others.
    assert calls == {*RIGHT, "close", "videos", "search_pages"}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_answered(client: Any, name: str) -> None:
    getattr(client, name)(**RIGHT[name])


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_an_argument_of_a_wrong_type_is_refused(client: Any, server: Any, name: str, argument: str) -> None:
    for value in (object(), Hostile(), Client, 1j):
        with pytest.raises(InvalidInput, match=r"(?s)\w+ \w+"):
            getattr(client, name)(**{**RIGHT[name], argument: value})
    sent = {model for model, _ in server.requests}
    assert sent <= ({"search"} if name == "wait_searchable" else set())


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_odd_arguments_are_answered_or_refused(client: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(RIGHT)))
    parameters = [argument for call, argument in ARGUMENTS if call == name]
    odd = data.draw(st.dictionaries(st.sampled_from(parameters), ANYTHING, min_size=1, max_size=2))
    with suppress(FramesiftError):
        getattr(client, name)(**{**RIGHT[name], **odd})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"address": None}, "the address is NoneType: give the server's, as HOST:PORT"),
        ({"address": " "}, "the address is ' ': give HOST:PORT"),
        ({"address": "a\ud800"}, "give HOST:PORT"),
        ({"address": "http://localhost:8000"}, "without http://"),
        ({"address": "localhost"}, "'localhost' has no port: give HOST:PORT of the server's gRPC port"),
        ({"address": "::1"}, "has no port"),
        ({"address": ":8001"}, "has no host"),
        ({"address": "host:0"}, "has no port between 1 and 65535"),
        ({"address": "host:web"}, "has no port between 1 and 65535"),
        ({"address": "host:8001/path"}, "give HOST:PORT"),
        ({"timeout_s": "5"}, "timeout_s is str: give seconds"),
        ({"timeout_s": -1}, "timeout_s is -1: give seconds, 0 or more"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"timeout_s": 10**400}, "give fewer, or None"),
        ({"retry": 1}, "retry is int: give True or False"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_that_can_not_be_made_says_why(kind: Callable[..., Any], arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        kind(**arguments)


def test_a_closed_client_says_so(client: Any, server: Any) -> None:
    client.close()
    client.close()
    for name, arguments in RIGHT.items():
        with pytest.raises(ClientError, match="the client is closed: make a new one"):
            getattr(client, name)(**arguments)
    assert server.requests == []


def under_way(server: Any) -> bool:
    """Whether the server has been asked to encode a video."""
    return any(model == "encode_video" for model, _ in server.requests)


def test_closing_ends_the_calls_that_are_under_way(address: str, server: Any) -> None:
    client = Client(address)
    raised: list[BaseException] = []

    def encode() -> None:
        try:
            client.encode_video(b"slow")
        except BaseException as error:
            raised.append(error)

    client.lookup([])
    thread = threading.Thread(target=encode)
    thread.start()
    until(lambda: under_way(server))
    client.close()
    thread.join(60)
    assert [type(error) for error in raised] == [ClientError]


def test_closing_ends_the_awaited_calls_too(address: str, server: Any) -> None:
    async def run() -> None:
        client = AsyncClient(address)
        task = asyncio.create_task(client.encode_video(b"slow"))
        await until_async(lambda: under_way(server))
        await client.close()
        with pytest.raises(ClientError, match="closed"):
            await task

    asyncio.run(run())


def test_a_cancelled_call_is_cancelled(address: str) -> None:
    async def run() -> None:
        async with AsyncClient(address) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.encode_video(b"slow"), 0.2)
            assert (await client.lookup([])).count == 0

    asyncio.run(run())


def test_an_asyncio_client_is_of_one_event_loop(address: str) -> None:
    client = AsyncClient(address)

    async def count() -> int:
        return (await client.lookup([])).count

    with asyncio.Runner() as runner:
        assert runner.run(count()) == 0
        with pytest.raises(ClientError, match="make one in each loop"):
            asyncio.run(count())
        runner.run(client.close())


def test_an_asyncio_client_without_a_loop_says_what_to_do() -> None:
    with pytest.raises(ClientError, match=r"asyncio\.run, or use Client"):
        AsyncClient().lookup([]).send(None)


def test_the_first_failure_ends_the_other_parts_of_a_call(address: str, server: Any) -> None:
    async def run() -> None:
        async with AsyncClient(address, timeout_s=0.2) as client:
            with pytest.raises(FramesiftError):
                await client.encode_frames(np.repeat(FRAMES, 64, 0))
            assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    server._encode_frames = lambda arrays: time.sleep(0.5)
    asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "spoilt"),
    [
        ("search", lambda found: found.pop(IDS)),
        ("search", lambda found: found.update({IDS: found[IDS][:, :-1]})),
        ("search", lambda found: found.update({SCORES: found[SCORES][:, :-1]})),
        ("search", lambda found: found.update({TIMESTAMPS: found[TIMESTAMPS][:0]})),
        ("encode_video", lambda found: found.clear()),
        ("score_text", lambda found: found.clear()),
        ("gallery_lookup", lambda found: found.update(count=np.zeros(0, np.int64))),
        ("index_video", lambda found: found.update(count=np.zeros(1, np.int64))),
    ],
)
def test_an_answer_that_can_not_be_read_is_the_servers_fault(
    client: Any, server: Any, wait_for_version: Callable[[int], None], model: str, spoilt: Callable[[Any], Any]
) -> None:
    wait_for_version(client.index(b"video").version)
    own = getattr(server, f"_{model}")

    def answer(arrays: Any) -> Any:
        found = own(arrays)
        spoilt(found)
        return found

    setattr(server, f"_{model}", answer)
    name = {"score_text": "score", "gallery_lookup": "lookup", "index_video": "index"}.get(model, model)
    with pytest.raises(ServerError, match="client and server are not of one version"):
        getattr(client, name)(**RIGHT[name])
