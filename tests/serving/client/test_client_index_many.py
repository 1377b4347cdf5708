"""Many videos at once, by both clients, over gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framesift import AsyncClient, Client, FramesiftError, Indexed
from framesift.errors import ClientError, DeadlineExceeded, InvalidRequest, InvalidVideo, ServerUnavailable
from framesift.export.bundle.ports import VIDEO
from framesift.export.bundle.segments import Cutting, Segment
from framesift.serving.gallery.sources import block_of


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


def test_a_film_that_was_kept_in_segments_says_so_once(client: Any, server: Any, films: list[Path]) -> None:
    cut, made = Cutting(30, 5), server.index.gallery
    client.index_many(films[:3])
    for id_ in ("0.mp4", "1.mp4"):
        (known,) = made.reader().named([id_], made.schema.columns[2:])
        entry = block_of(known, made.schema).entry(0)
        made.add([replace(entry, segment=Segment(n, 2, n, n + 1), cutting=cut) for n in range(2)])
    found = client.index_many([*films[:4], (b"bytes", "2.mp4"), " "])
    assert [one.before for one in found[:4]] == [cut, cut, None, None]
    assert [one.before for one in client.index_many(films[:4])] == [None] * 4
    (facts,) = client.describe(["0.mp4"])
    assert (facts.segments, facts.cutting) == (1, None)


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
    own, over = server._index_video, threading.Event()

    def held(arrays: Any) -> Any:
        # What is sent next is not done before the caller knows of the first.
        if _sent(server) > 1:
            over.wait(20)
        return own(arrays)

    def progress(place: int, result: Any) -> None:
        raise KeyError(place)

    server._index_video = held
    with pytest.raises(KeyError):
        client.index_many(films, jobs=1, progress=progress)
    over.set()
    assert _sent(server) < len(films)
    with pytest.raises(InvalidRequest, match="reached is int"):
        client.index_many(films, reached=3)
    with pytest.raises(InvalidRequest, match="progress is int"):
        client.index_many(films, progress=3)


def test_as_many_as_jobs_are_sent_at_once(client: Any, server: Any) -> None:
    own, together = server._encode_video, threading.Barrier(6)

    def met(arrays: Any) -> Any:
        # None is answered until all are there.
        together.wait(60)
        return own(arrays)

    server._encode_video = met
    found = client.index_many([(b"film %d" % n, f"v{n}") for n in range(6)], jobs=6, timeout_s=60)
    assert [one.id for one in found] == [f"v{n}" for n in range(6)]


def test_a_busy_server_is_tried_again(client: Any, server: Any) -> None:
    server.busy_answers = 5
    found = client.index_many([(b"busy %d" % n, f"v{n}") for n in range(4)], jobs=4)
    assert [one.id for one in found] == ["v0", "v1", "v2", "v3"]
    assert _sent(server) == 9


def test_one_that_takes_too_long_fails_alone(client: Any, server: Any, films: list[Path]) -> None:
    films[1].write_bytes(b"endless film")
    own, over = server._encode_video, threading.Event()

    def held(arrays: Any) -> Any:
        if arrays[VIDEO][0].tobytes().startswith(b"endless"):
            over.wait(60)
        return own(arrays)

    server._encode_video = held
    # Of which the others take a hundredth.
    found = client.index_many(films[:3], jobs=1, timeout_s=5)
    over.set()
    assert [place for place, one in enumerate(found) if not isinstance(one, Indexed)] == [1]
    assert isinstance(found[1], DeadlineExceeded)


def test_a_server_that_stays_away_is_not_tried_for_every_video(make_client: Callable[..., Any]) -> None:
    items = [(b"film %d" % n, f"v{n}") for n in range(2400)]
    found = make_client("127.0.0.1:1", retry=False).index_many(items, jobs=2)
    assert [type(one) for one in found] == [ServerUnavailable] * len(items)
    # Those that were not tried have the error of one that was.
    assert len({id(one) for one in found}) < 100


def test_videos_are_sent_where_a_busy_server_tells_nothing_of_those_before(
    make_client: Callable[..., Any], server: Any, address: str, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(arrays: Any) -> Any:
        raise BlockingIOError

    monkeypatch.setattr(server, "_gallery_lookup", full)
    found = make_client(address, retry=False).index_many(films[:3])
    assert [(one.id, one.before) for one in found] == [("0.mp4", None), ("1.mp4", None), ("2.mp4", None)]


def test_jobs_may_stand_behind_the_videos(client: Any, address: str, films: list[Path]) -> None:
    async def run() -> list[Indexed | FramesiftError]:
        async with AsyncClient(address) as other:
            return await other.index_many(films[:3], 2)

    assert [one.id for one in client.index_many(films[:3], 2)] == [one.id for one in asyncio.run(run())]


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
        client.index(b"video", timeout_s=60)
        # gRPC rounds a deadline up on its way, by less than a hundredth of it.
        assert server.patience["index_video"] <= 60.6
        client.index_many([b"video"])
        client.encode_video(b"video")
        client.search("a dog")
        assert client.timeout_s == 30
    assert {name: round(left / 10) * 10 for name, left in server.patience.items()} == {
        "index_video": 600,
        "encode_video": 600,
        "search": 30,
    }
