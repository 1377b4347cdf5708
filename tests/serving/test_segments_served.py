"""Films in segments through a real server: one hit a film, its segment, and nothing of a film that is not whole."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidRequest, InvalidVideo
from framesift.export.bundle.segments import WHOLE, Cutting
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import VideoLimits
from framesift.export.corpus.shapes import FRAME_RATE
from framesift.serving.client.aio import AsyncClient
from framesift.serving.client.sync import Client
from framesift.serving.gallery.sources import block_of
from framesift.serving.gallery.store import Gallery
from framesift.serving.serve import running
from framesift.serving.server.embedded import EmbeddedServer

from ..waiting import until
from .films import Picture, lasting, pictures, write_film
from .front.asked_over_http import ask, settle
from .front.test_v1 import check

pytestmark = pytest.mark.server
SCENES, LENGTH = 12, 30


def scenes(clips: list, count: int) -> list[list[Picture]]:
    """Clips, of one length each."""
    return [lasting(pictures(clip.video), LENGTH) for clip in clips[:count]]


@pytest.fixture(scope="module")
def film(clips: list, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """Twelve clips one after another, and when each begins."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return path, write_film(path, scenes(clips, SCENES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("galleries") / "segments"


@pytest.fixture(scope="module")
def cutting() -> Cutting:
    """Segments as long as the scenes."""
    return Cutting(LENGTH / FRAME_RATE)


@pytest.fixture(scope="module")
def server(bundle: Bundle, folder: Path, film: tuple[Path, list[float]]) -> Iterator[EmbeddedServer]:
    """A server that takes no file of half the film's size."""
    limits = VideoLimits(max_bytes=film[0].stat().st_size // 2 + (80 << 10))
    with running(bundle, folder, limits=limits) as started:
        yield started


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.address) as opened:
        yield opened


def rows(folder: Path, id_: str) -> list[tuple[int, int]]:
    table = Gallery.existing(folder).reader().table.to_table(columns=["id", "segment", "segments"]).to_pylist()
    return sorted((row["segment"], row["segments"]) for row in table if row["id"] == id_)


def everything(folder: Path) -> list[tuple[int, str]]:
    """The rows as they were written; the version is another one where files were merged meanwhile."""
    table = Gallery.existing(folder).reader().table.to_table(columns=["sequence", "id"]).to_pylist()
    return sorted((row["sequence"], row["id"]) for row in table)


def test_a_film_is_found_by_its_best_segment(
    client: Client, clips: list, film: tuple[Path, list[float]], cutting: Cutting, folder: Path
) -> None:
    for clip in clips[SCENES:]:
        client.index(clip.video)
    path, begins = film
    indexed = client.index(path, id="film", segments=cutting, metadata={"kind": "film"})
    client.wait_searchable(indexed)
    assert indexed.count == len(clips) - SCENES + 1
    assert rows(folder, "film") == [(number, SCENES) for number in range(SCENES)]
    right = 0
    for clip, begin in zip(clips, begins[:SCENES], strict=False):
        result = client.search(clip.captions[0], top=50)
        # One hit for the film, whose score is that of its best segment.
        assert [hit.id for hit in result.hits].count("film") == 1
        assert result.among == len(result.hits) == indexed.count
        hit = next(hit for hit in result.hits if hit.id == "film")
        assert hit.duration == pytest.approx(begins[-1], abs=0.01)
        assert (hit.start, hit.end) == pytest.approx(
            (hit.segment * cutting.seconds, (hit.segment + 1) * cutting.seconds)
        )
        assert all(hit.start <= time < hit.end for time in hit.timestamps)
        alone = client.search(clip.captions[0], top=50, segments=True)
        assert max(each.score for each in alone.hits if each.id == "film") == pytest.approx(hit.score, rel=1e-5)
        assert len(alone.hits) == alone.among == indexed.count + SCENES - 1
        right += result.hits[0].id == "film" and hit.start == pytest.approx(begin)
    assert right >= SCENES - 2


def test_segments_are_those_of_the_film_s_own_clips(
    client: Client, clips: list, film: tuple[Path, list[float]], cutting: Cutting, tmp_path: Path
) -> None:
    """A record of a segment is that of a file with its frames alone, but for what encoding it again changed."""
    client.wait_searchable(client.index(film[0], id="film", segments=cutting))
    text = clips[3].captions[0]
    whole = next(
        hit for hit in client.search(text, segments=True, top=100).hits if (hit.id, hit.segment) == ("film", 3)
    )
    write_film(tmp_path / "alone.mp4", [scenes(clips, 4)[3]])
    client.wait_searchable(client.index(tmp_path / "alone.mp4", id="alone"))
    alone = next(hit for hit in client.search(text, top=100).hits if hit.id == "alone")
    assert whole.score == pytest.approx(alone.score, abs=0.05)
    assert [time - whole.start for time in whole.timestamps] == pytest.approx(alone.timestamps, abs=0.01)
    client.delete(["alone"])


def test_a_segment_of_a_film_is_searched_with(
    client: Client,
    server: EmbeddedServer,
    clips: list,
    film: tuple[Path, list[float]],
    cutting: Cutting,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it finds is what a video with the very record of that segment finds, to the bit."""
    for clip in clips[SCENES : SCENES + 4]:
        client.index(clip.video)
    client.index(film[0], id="film", segments=cutting)
    with Gallery.existing(folder) as gallery:
        (batch,) = gallery.reader().named(["film"], gallery.schema.columns[2:], segment=3)
        entry = block_of(batch, gallery.schema).entry(0)
        gallery.add([replace(entry, id="alone", segment=WHOLE, cutting=None)])
    settle(client)
    for text, weight in ((None, None), ("a red circle", 0.4)):
        asked = {"top": 100, "weight": weight, "include": True, "segments": True}
        found, wanted = (
            [(hit.id, hit.segment, hit.score, hit.attention) for hit in client.search(text, **which, **asked).hits]
            for which in ({"like": "film", "segment": 3}, {"like": "alone"})
        )
        assert found == wanted
        assert len(found) > SCENES
    # The segment itself is no hit, where segments are hits; where films are, its film is none.
    apart = {(hit.id, hit.segment) for hit in client.search(like="film", segment=3, top=100, segments=True).hits}
    assert {number for id_, number in apart if id_ == "film"} == set(range(SCENES)) - {3}
    assert "film" not in {hit.id for hit in client.search(like="film", segment=3, top=100).hits}
    pages = [hit for page in client.search_pages(like="film", segment=3, top=5, segments=True) for hit in page.hits]
    assert {(hit.id, hit.segment) for hit in pages} == apart
    assert len(pages) == len(apart)
    # A hit tells what to search with next, whatever it is of.
    for hit in client.search("a red circle", 5).hits:
        assert client.search(like=hit.id, segment=hit.segment, top=1).hits
    assert client.search(like="alone", segment=0, top=3).hits == client.search(like="alone", top=3).hits
    for options, why in (
        ({"like": "film"}, f"kept in {SCENES} segments, which differ: .* 0 to {SCENES - 1}"),
        ({"like": "film", "segment": SCENES}, f"has the segments 0 to {SCENES - 1}, and no {SCENES}"),
        ({"like": "film", "segment": -1}, "from 0 to 4095"),
        ({"like": "film", "segment": True}, "from 0 to 4095"),
        ({"like": film[0], "segment": 1}, "segment is one of the film of an id"),
        ({"text": "a", "segment": 1}, "segment is one of the film of an id"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            client.search(**options)
    told = ask(server.address, "/v1/search", {"like": "film", "segment": 3, "top": 5}).json["results"][0]["hits"]
    assert [hit["id"] for hit in told] == [hit.id for hit in client.search(like="film", segment=3, top=5).hits]
    assert ask(server.address, "/v1/search", {"like": "film"}).status == 400
    monkeypatch.setenv("FRAMESIFT_SERVER", server.address)
    run = CliRunner().invoke(main, ["search", "--like", "film", "--segment", "3", "--top", "5", "--json"])
    assert [hit["id"] for hit in json.loads(run.stdout)["hits"]] == [hit["id"] for hit in told]
    assert CliRunner().invoke(main, ["search", "a", "--segment", "3"]).exit_code == 2
    client.delete(["alone"])


def test_pages_filters_and_lists_are_of_films(
    client: Client, server: EmbeddedServer, clips: list, film: tuple[Path, list[float]]
) -> None:
    for name in ("a", "b", "c"):
        last = client.index(film[0], id=f"paged/{name}", segments=Cutting(5, 1), metadata={"paged": name})
    client.wait_searchable(last)
    pages = list(client.search_pages("a red circle", top=2, where="paged exists"))
    assert sorted(hit.id for page in pages for hit in page.hits) == ["paged/a", "paged/b", "paged/c"]
    assert pages[0].among == 3
    # A filter of segments' facts leaves films that have some of them.
    early = client.search("a red circle", where="paged exists and segment.end <= 9", segments=True, top=50)
    assert {(hit.id, hit.segment) for hit in early.hits} == {(f"paged/{name}", n) for name in "abc" for n in (0, 1)}
    assert client.count("paged exists and segment.start > 0") == 3
    listed = client.list_videos(2, where="paged exists")
    assert [video.id for video in listed.videos] == ["paged/a", "paged/b"]
    rest = client.list_videos(2, where="paged exists", after=listed.next)
    assert [(video.id, rest.next) for video in rest.videos] == [("paged/c", None)]
    (told,) = client.describe(["paged/a"])
    assert told is not None
    assert told.segments > 5
    assert told.cutting == listed.videos[0].cutting == Cutting(5, 1)
    shown = [
        CliRunner().invoke(main, ["videos", *words, "--server", server.address]).stdout
        for words in (("list", "--where", "id = 'paged/a'"), ("show", "paged/a"))
    ]
    assert f"paged/a  ({told.segments} segments of 5 s, overlapping by 1 s)" in shown[0]
    assert f"{told.segments} segments of 5 s, overlapping by 1 s" in shown[1]
    assert client.update({"paged/a": {"paged": "new"}}).changed == ("paged/a",)
    assert client.delete(["paged/a", "paged/b", "paged/c"]).changed == ("paged/a", "paged/b", "paged/c")


def test_a_film_that_is_too_large_is_sent_in_pieces_and_gives_the_same(
    client: Client, clips: list, film: tuple[Path, list[float]], cutting: Cutting, folder: Path
) -> None:
    path = film[0]
    with pytest.raises(InvalidVideo, match="the limit is"):
        client.index(path, id="too large")
    # It is too large for one request, so whatever is above went in pieces too.
    client.wait_searchable(client.index(path, id="in pieces", segments=cutting))
    assert rows(folder, "in pieces") == rows(folder, "film") or rows(folder, "in pieces")
    small = path.with_name("small.mp4")
    write_film(small, scenes(clips, 3))
    client.wait_searchable(client.index(small, id="in one", segments=cutting))
    for clip in clips[:3]:
        found = {hit.id: hit for hit in client.search(clip.captions[0], top=100).hits}
        assert found["in pieces"].score >= found["in one"].score - 0.02
    with pytest.raises(InvalidRequest, match="give its path"):
        client.index(path.read_bytes(), id="x", segments=cutting)
    told: list[tuple[int, int, int]] = []
    client.index_many([small, (path, "in pieces")], reached=lambda *reached: told.append(reached), segments=cutting)
    assert told
    assert all(place == 1 and 0 < done < total == SCENES for place, done, total in told)
    client.delete(["in pieces", "in one", "small.mp4"])


def test_a_second_run_changes_nothing_and_other_segments_are_indexed_again(
    server: EmbeddedServer,
    film: tuple[Path, list[float]],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "films").mkdir()
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / "films" / name).write_bytes(film[0].read_bytes())

    def run(*options: str) -> str:
        told = CliRunner().invoke(
            main, ["index", str(tmp_path / "films"), "--server", server.address, *options], catch_exceptions=False
        )
        assert told.exit_code == 0, told.output
        return told.stdout

    assert run("--segment-seconds", "10", "--overlap", "2") == "2 indexed, 0 skipped, 0 failed\n"
    before = everything(folder)
    assert run("--segment-seconds", "10", "--overlap", "2").startswith("0 indexed, 2 skipped")
    assert everything(folder) == before
    cut = rows(folder, "one.mp4")
    assert run("--segment-seconds", "15") == "2 indexed, 0 skipped, 0 failed\n"
    assert len(rows(folder, "one.mp4")) < len(cut)
    with Client(server.address) as client:
        client.delete(["one.mp4", "two.mp4"])


def test_segments_that_can_t_be_are_refused_and_nothing_is_kept(
    client: Client, film: tuple[Path, list[float]], clips: list, folder: Path, tmp_path: Path
) -> None:
    before = everything(folder)
    with pytest.raises(InvalidRequest, match="overlap must be less"):
        client.index(film[0], segments=Cutting(5, 6))
    with pytest.raises(InvalidRequest, match="give their seconds"):
        client.index(film[0], segments="30")
    write_film(tmp_path / "slow.mp4", scenes(clips, 1), rate=2)
    with pytest.raises(InvalidVideo, match=r"a frame every 0\.5 s, so segments of 0\.2 s would have none"):
        client.index(tmp_path / "slow.mp4", segments=0.2)
    with pytest.raises(InvalidVideo, match="the limit is 4096"):
        client.index(clips[0].video, segments=Cutting(1, 0.9999))
    (outcome,) = client.index_many([clips[0].video.read_bytes()[:-500]], segments=1)
    assert isinstance(outcome, InvalidVideo)
    assert everything(folder) == before


def test_asyncio_and_http_cut_films_too(server: EmbeddedServer, clips: list, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    write_film(path, [pictures(clip.video) for clip in clips[:3]])

    async def index() -> None:
        async with AsyncClient(server.address) as client:
            await client.index(path, id="async", segments=2.0)

    asyncio.run(index())
    wanted = [number for number, _ in rows(folder, "async")]
    raw = path.read_bytes()
    told = ask(server.address, "/v1/videos?id=http&segment_seconds=2", raw)
    assert told.status == 201, told.body
    assert [number for number, _ in rows(folder, "http")] == wanted
    told = ask(server.address, "/v1/videos?id=overlapping&segment_seconds=2&overlap=1", raw)
    assert told.status == 201, told.body
    assert len(rows(folder, "overlapping")) > len(wanted)
    for bad in ("segment_seconds=x", "overlap=1", "segment_seconds=2&overlap=2"):
        told = ask(server.address, f"/v1/videos?id=bad&{bad}", raw)
        assert (told.status, told.json["code"]) == (400, "invalid-request"), told.body
    with Client(server.address) as client:
        settle(client)
    asked = {"text": clips[0].captions[0], "top": 50}
    hits = ask(server.address, "/v1/search", asked).json["results"][0]["hits"]
    hit = next(hit for hit in hits if hit["id"] == "http")
    assert hit["segment"].keys() == {"number", "start", "end"}
    apart = ask(server.address, "/v1/search", {**asked, "segments": True}).json["results"][0]["hits"]
    assert len([hit for hit in apart if hit["id"] == "http"]) == len(wanted)
    told = check(ask(server.address, "/v1/video?id=http"), "Video")
    assert (told["segments"], told["cutting"]) == (len(wanted), {"seconds": 2.0, "overlap": 0.0})
    assert ask(server.address, "/v1/video?id=http", method="DELETE").status == 200
    assert rows(folder, "http") == []
    with Client(server.address) as client:
        client.delete(["async", "overlapping"])


def test_segments_begin_with_shots(client: Client, folder: Path, tmp_path: Path) -> None:
    grey = [[np.full((96, 96, 3), level, np.uint8)] * (20 + level // 10) for level in (20, 180, 90, 240)]
    begins = write_film(tmp_path / "shots.mp4", grey)
    client.index(tmp_path / "shots.mp4", id="shots", segments=Cutting(20, shots=0.2))
    table = Gallery.existing(folder).reader().table.to_table(columns=["id", "start", "end"]).to_pylist()
    found = sorted((row["start"], row["end"]) for row in table if row["id"] == "shots")
    assert np.allclose(found, list(pairwise(begins)))
    client.delete(["shots"])


@pytest.mark.slow
def test_searches_never_see_a_part_of_a_film_while_it_is_replaced(
    server: EmbeddedServer, clips: list, tmp_path: Path
) -> None:
    path = tmp_path / "short.mp4"
    write_film(path, [pictures(clip.video) for clip in clips[:3]])
    stop = threading.Event()
    seen: set[tuple[int, ...]] = set()

    def look() -> None:
        with Client(server.address) as client:
            while not stop.is_set():
                found = client.search(clips[0].captions[0], top=100, where="id = 'replaced'", segments=True)
                seen.add((*sorted(hit.segment for hit in found.hits), found.among or 0))

    counts = set()
    with Client(server.address) as client:
        client.wait_searchable(client.index(path, id="replaced", segments=2))
        thread = threading.Thread(target=look)
        thread.start()
        try:
            for seconds in (1.0, 3.0, 1.5, 4.0, 2.0):
                client.wait_searchable(client.index(path, id="replaced", segments=seconds))
                count = client.search("any", top=100, where="id = 'replaced'", segments=True).among or 0
                counts.add(count)
                until(lambda count=count: (*range(count), count) in seen or not thread.is_alive())
        finally:
            stop.set()
            thread.join()
        client.delete(["replaced"])
    assert len(seen) > 2
    for *numbers, among in seen:
        assert numbers == list(range(among))
        assert among in counts
