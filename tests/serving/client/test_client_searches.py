"""Filters, thresholds and pages of searches, by both clients and the command, with a real gallery behind them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidRequest
from framesift.serving.client.aio import AsyncClient
from framesift.serving.client.sync import Client
from framesift.serving.gallery.editing import Change, edit
from framesift.serving.gallery.rows import GalleryEntry

from .conftest import D, F, ToyServer, embed

Wait = Callable[[int], None]


def entry(id_: str, seed: int = 0, metadata: str = "{}") -> GalleryEntry:
    raw = f"{id_} {seed}".encode()
    return GalleryEntry(
        id_,
        {"frame_embeddings": embed(raw, F, D), "mean_embedding": embed(raw, D)},
        embed(raw, F),
        3.0,
        raw.ljust(32)[:32],
        metadata=metadata,
    )


@pytest.fixture
def videos(server: ToyServer, wait_for_version: Wait) -> list[str]:
    """Sixty videos, of which every third is news."""
    ids = [f"v{n:02}" for n in range(60)]
    commit = server.index.gallery.add(
        [
            entry(id_, metadata=json.dumps({"n": n, "channel": "sport" if n % 3 else "news"}))
            for n, id_ in enumerate(ids)
        ]
    )
    wait_for_version(commit.version)
    return ids


def found(result: Any) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in result.hits]


def test_a_filter_a_threshold_and_an_offset_cut_the_full_ranking(client: Any, videos: list[str]) -> None:
    whole = client.search("a text", 1000)
    assert (len(whole.hits), whole.among, whole.next) == (60, 60, None)
    news = [hit for hit in found(whole) if int(hit[0][1:]) % 3 == 0]
    narrowed = client.search("a text", 5, where="channel = 'news'")
    assert (found(narrowed), narrowed.among) == (news[:5], 20)
    limit = found(whole)[7][1]
    assert found(client.search("a text", 30, min_score=limit)) == found(whole)[:8]
    assert found(client.search("a text", 3, min_score=limit, offset=6)) == found(whole)[6:8]
    assert found(client.search("a text", 4, offset=58)) == found(whole)[58:]
    assert found(client.search("a text", 4, offset=60)) == []
    assert found(client.search("a text", 9, where="n < 10", candidates=videos[5:20])) == [
        hit for hit in found(whole) if 5 <= int(hit[0][1:]) < 10
    ]
    # Several texts in one request have an answer each, of as many hits as each has.
    texts = ["a text", "another", "a third"]
    alone = [client.search(text, 20, min_score=0.6, where="n >= 30") for text in texts]
    together = client.search_many(texts, 20, min_score=0.6, where="n >= 30")
    assert [found(result) for result in together] == [found(result) for result in alone]
    assert len({len(result.hits) for result in together}) > 1
    assert [hit.metadata["n"] for hit in together[1].hits] == [int(hit.id[1:]) for hit in together[1].hits]


def test_pages_of_a_search_hold_together_while_videos_come_and_go(
    client: Any, videos: list[str], server: ToyServer, wait_for_version: Wait
) -> None:
    gallery, chance = server.index.gallery, random.Random(3)
    where = "channel in ('news', 'sport')"
    full = [hit.id for hit in client.search("a text", 1000, where=where).hits]
    page = client.search("a text", 7, where=where)
    seen, gone, version = [hit.id for hit in page.hits], set(), page.version
    while page.next is not None:
        replaced, removed, changed = chance.sample(sorted(set(full) - gone), 3)
        gallery.add([entry(replaced, seed=9, metadata='{"channel":"other"}'), entry(f"new {len(seen)}")])
        edit(gallery, {changed: Change(metadata={})})
        wait_for_version(gallery.remove([removed]).version)
        gone.add(removed)
        page = client.search("a text", 7, where=where, after=page.next)
        seen += [hit.id for hit in page.hits]
        assert page.version == version
        # What was replaced is shown as it was then.
        assert all(hit.metadata["channel"] in ("news", "sport") for hit in page.hits)
    assert len(seen) == len(set(seen))
    assert seen == [id_ for id_ in full if id_ in set(seen)]
    assert set(full) - set(seen) <= gone


def test_pages_end_with_a_threshold_and_with_the_last_video(address: str, videos: list[str]) -> None:
    with Client(address) as client:
        whole = [hit.id for hit in client.search("a text", 1000).hits]
        pages = list(client.search_pages("a text", 25))
        assert [hit.id for page in pages for hit in page.hits] == whole
        assert [len(page.hits) for page in pages] == [25, 25, 10]
        limit = client.search("a text", 1000).hits[30].score
        pages = list(client.search_pages("a text", 25, min_score=limit))
        assert [hit.id for page in pages for hit in page.hits] == whole[:31]
        first = client.search("a text", 5, offset=10)
        assert [hit.id for hit in client.search("a text", 5, after=first.next).hits] == whole[15:20]
        among = client.search("a text", 2, candidates=videos[:5])
        rest = client.search("a text", 9, candidates=videos[:5], after=among.next)
        assert {hit.id for hit in (*among.hits, *rest.hits)} == set(videos[:5])
        assert rest.next is None


def test_pages_of_the_asynchronous_client(address: str, videos: list[str]) -> None:
    async def pages() -> tuple[list[int], list[str]]:
        async with AsyncClient(address) as client:
            sizes = [len(page.hits) async for page in client.search_pages("a text", 40)]
            return sizes, [video.id async for video in client.videos("n < 3")]

    assert asyncio.run(pages()) == ([40, 20], videos[:3])


def test_lists_and_counts_take_filters(client: Any, videos: list[str], wait_for_version: Wait) -> None:
    page = client.list_videos(15, where="channel = 'news'")
    rest = client.list_videos(15, where="channel = 'news'", after=page.next)
    assert [video.id for video in (*page.videos, *rest.videos)] == videos[::3]
    assert (page.count, rest.next) == (20, None)
    assert [client.count(), client.count("n >= 50"), client.count("not channel exists")] == [60, 10, 0]
    with pytest.raises(InvalidRequest, match="of another search"):
        client.list_videos(15, where="n < 3", after=page.next)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"where": "n <"}, "the filter at character 4"),
    ({"where": "m < 3"}, "no video has the field m"),
    ({"where": 5}, "where is int"),
    ({"where": ""}, "the filter is empty: write one, such as"),
    ({"where": "n = '" + "x" * 5000 + "'"}, "more than 4096 bytes"),
    ({"where": "n = '" + "é" * 2100 + "'"}, "more than 4096 bytes"),
    ({"min_score": "0.5"}, "min_score is str"),
    ({"min_score": float("nan")}, "not a number"),
    ({"offset": -1}, "offset is -1"),
    ({"offset": 4096}, "offset is 4096"),
    ({"offset": 4090}, "pages reach 4096 hits"),
    ({"after": "nonsense"}, "cursor can't be read"),
    ({"after": "nonsense", "offset": 3}, "without an offset"),
]


def test_what_can_not_be_asked_is_refused(client: Any, videos: list[str]) -> None:
    for options, fault in REFUSED:
        with pytest.raises(InvalidRequest, match=fault):
            client.search("a text", 10, **options)
    cursor = client.search("a text", 5).next
    for other in ({"where": "n < 50"}, {"min_score": 0.1}, {"candidates": videos}):
        with pytest.raises(InvalidRequest, match="of another search"):
            client.search("a text", 5, after=cursor, **other)


def test_the_command(address: str, videos: list[str]) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, ["search", "a text", "--server", address, *arguments])

    told = json.loads(run("--json", "--top", "3", "--where", "channel = 'news'").stdout)
    assert told["among"] == 20
    assert {hit["metadata"]["channel"] for hit in told["hits"]} == {"news"}
    more = json.loads(run("--json", "--where", "channel = 'news'", "--after", told["next"]).stdout)
    assert not {hit["id"] for hit in more["hits"]} & {hit["id"] for hit in told["hits"]}
    assert run("--min-score", "100").stdout == "no video was found\n"
    ranks = [line.split()[0] for line in run("--offset", "58").stdout.splitlines()]
    assert ranks == ["rank", "59", "60"]
    refused = run("--where", "chanel = 'news'")
    assert (refused.exit_code, "did you mean channel?" in refused.stderr) == (1, True)
    assert run("another", "--after", told["next"]).exit_code == 2
    for where, cursor, said in (("n < 50", told["next"], "of another search"), ("n < 50", "AbCd", "can't be read")):
        ended = run("--where", where, "--after", cursor)
        assert (ended.exit_code, ended.stdout, said in ended.stderr) == (1, "", True)
