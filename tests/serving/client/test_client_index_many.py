"""Many videos at once, by both clients, over gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framesift import AsyncClient, Client, FramesiftError, Indexed
from framesift.errors import ClientError, DeadlineExceeded, InvalidRequest, InvalidVideo, ServerUnavailable


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.mp4" for n in range(12)]
    for n, path in enumerate(paths):
        path.write_bytes(f"film {n}".encode())
    return paths


def _sent(server: Any) -> int:
    return sum(model == "index_video" for model, _ in server.requests)


def test_results_are_in_order_with_failures_as_values(client: Any, server: Any, films: list[Path]) -> None:
    films[3].write_bytes(b"bad")
    items = [
        *films[:5],
        (films[5], "films/five", {"year": 1999}),
        (films[6], None),
        (films[7],),
        b"bytes",
        "/no/such.mp4",
        (films[8], " blank"),
        (films[9], "nine", {"a": {1}}),
        3,
        (films[10], "x", {}, None, "more"),
        films[0],
    ]
    found = client.index_many(items, jobs=3)
    ids = {place: one.id for place, one in enumerate(found) if isinstance(one, Indexed)}
    assert ids == {
        **{n: f"{n}.mp4" for n in (0, 1, 2, 4)},
        5: "films/five",
        6: "6.mp4",
        7: "7.mp4",
        8: hashlib.sha256(b"bytes").hexdigest(),
    }
    assert found[0].digest == hashlib.sha256(b"film 0").digest()
    failed = {place: (type(one), str(one)) for place, one in enumerate(found) if isinstance(one, FramesiftError)}
    assert failed[3] == (InvalidVideo, "the file is not a video")
    assert failed[9] == (InvalidVideo, "/no/such.mp4 can't be read: No such file or directory")
    assert failed[12][0] is InvalidVideo
    assert all(failed[place][0] is InvalidRequest for place in (10, 11, 13, 14))
    assert failed[14][1] == "items 0 and 14 would both get the id '0.mp4': give each its own"
    assert server.index.gallery.count == len(ids)
    assert client.index_many([]) == []


def test_progress_is_told_of_every_item_by_its_place(client: Any, films: list[Path]) -> None:
    films[3].write_bytes(b"bad")
    told: dict[int, Any] = {}
    thread = threading.current_thread()

    def progress(place: int, result: Any) -> None:
        assert threading.current_thread() is thread
        told[place] = result

    found = client.index_many(films, jobs=4, progress=progress)
    assert [told[place] for place in range(len(films))] == found


def test_what_progress_raises_ends_the_call(client: Any, server: Any, films: list[Path]) -> None:
    def progress(place: int, result: Any) -> None:
        raise KeyError(place)

    with pytest.raises(KeyError):
        client.index_many(films, jobs=1, progress=progress)
    assert _sent(server) < len(films)
    with pytest.raises(InvalidRequest, match="progress is int"):
        client.index_many(films, progress=3)


def test_as_many_as_jobs_are_sent_at_once(make_client: Callable[..., Any], address: str) -> None:
    items = [(b"slow %d" % n, f"v{n}") for n in range(6)]
    start = time.monotonic()
    found = make_client(address).index_many(items, jobs=6)
    assert [one.id for one in found] == [f"v{n}" for n in range(6)]
    # Each takes a second of the toy server's.
    assert time.monotonic() - start < 5


def test_a_busy_server_is_tried_again(client: Any, server: Any) -> None:
    server.busy_answers = 5
    found = client.index_many([(b"busy %d" % n, f"v{n}") for n in range(4)], jobs=4)
    assert [one.id for one in found] == ["v0", "v1", "v2", "v3"]
    assert _sent(server) == 9


def test_one_that_takes_too_long_fails_alone(client: Any, films: list[Path]) -> None:
    films[1].write_bytes(b"slow film")
    found = client.index_many(films[:3], jobs=1, timeout_s=0.8)
    assert [place for place, one in enumerate(found) if not isinstance(one, Indexed)] == [1]
    assert isinstance(found[1], DeadlineExceeded)


def test_a_server_that_stays_away_is_not_tried_for_every_video(
    make_client: Callable[..., Any], films: list[Path]
) -> None:
    start = time.monotonic()
    found = make_client("127.0.0.1:1", retry=False).index_many(films * 200, jobs=2)
    assert len(found) == 12 * 200
    assert {type(one) for one in found[:12]} == {ServerUnavailable}
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("jobs", [0, 65, True, "4", 1.5])
def test_jobs_out_of_range_are_refused(client: Any, server: Any, jobs: Any) -> None:
    with pytest.raises(InvalidRequest, match="jobs is"):
        client.index_many([b"video"], jobs=jobs)
    assert server.requests == []


def test_a_closed_client_indexes_nothing(client: Any, films: list[Path]) -> None:
    client.close()
    for items in (films, []):
        with pytest.raises(ClientError, match="the client is closed"):
            client.index_many(items)


def test_gather_may_be_given_as_many_as_there_are(address: str, server: Any) -> None:
    """Only some are read and sent at once, however many wait; those that are refused come again."""
    open_at_once: list[int] = []
    own, lock, now = server._index_video, threading.Lock(), [0]

    def counted(arrays: Any) -> Any:
        with lock:
            now[0] += 1
            open_at_once.append(now[0])
        try:
            return own(arrays)
        finally:
            with lock:
                now[0] -= 1

    server._index_video = counted
    server.busy_answers = 10

    async def run() -> list[Indexed]:
        async with AsyncClient(address) as client:
            return await asyncio.gather(*(client.index(b"busy %d" % n, f"v{n}") for n in range(40)))

    assert [one.id for one in asyncio.run(run())] == [f"v{n}" for n in range(40)]
    assert max(open_at_once) <= 8


def test_without_a_timeout_a_video_has_ten_minutes_and_a_search_half_a_minute(address: str, server: Any) -> None:
    with Client(address) as client:
        client.index(b"video", timeout_s=5)
        # gRPC rounds a deadline up on its way, by less than a hundredth of it.
        assert server.patience["index_video"] <= 5.05
        client.index_many([b"video"])
        client.encode_video(b"video")
        client.search("a dog")
        assert client.timeout_s == 30
    assert {name: round(left / 10) * 10 for name, left in server.patience.items()} == {
        "index_video": 600,
        "encode_video": 600,
        "search": 30,
    }
