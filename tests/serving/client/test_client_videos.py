"""What a client is told of a gallery's videos, and how it changes and removes them: both clients and the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.limits import MAX_FACT_BYTES
from framesift.serving.client.gallery_wire import delete_calls, describe_calls, update_calls
from framesift.serving.client.results import VideoFacts, VideoPage
from framesift.serving.client.sync import Client

from .conftest import ToyServer

Wait = Callable[[int], None]


@pytest.fixture
def films(address: str, wait_for_version: Wait) -> list[str]:
    """Seven videos with metadata, searchable."""
    ids = [f"film {n}" for n in range(7)]
    with Client(address) as client:
        for n, id_ in enumerate(ids):
            last = client.index(id_.encode(), id=id_, source=f"/films/{n}.mp4", metadata={"n": n, "tags": ["ü"] * n})
    wait_for_version(last.version)
    return ids


def every_page(client: Any, top: int) -> list[VideoPage]:
    pages = [client.list_videos(top)]
    while pages[-1].next is not None:
        pages.append(client.list_videos(top, after=pages[-1].next))
    return pages


def test_every_hit_has_its_facts(client: Any, films: list[str]) -> None:
    hits = client.search("anything", top=7).hits
    for hit in hits:
        n = films.index(hit.id)
        assert (hit.source, hit.duration, hit.metadata) == (f"/films/{n}.mp4", 3.0, {"n": n, "tags": ["ü"] * n})
        told = json.loads(json.dumps(hit.to_dict()))
        assert (told["duration"], told["metadata"]["n"], told["segment"]) == (3.0, n, None)
    plain = client.search("anything", top=7, facts=False).hits
    assert [(hit.id, hit.score) for hit in plain] == [(hit.id, hit.score) for hit in hits]
    assert {(hit.source, hit.duration, hit.metadata) for hit in plain} == {(None, None, None)}
    assert [hit.source for hit in client.search("anything", 2, candidates=films[3:5]).hits] == [
        f"/films/{hit.id[-1]}.mp4" for hit in client.search("anything", 2, candidates=films[3:5]).hits
    ]


def test_facts_beyond_what_an_answer_may_hold_are_left_out(
    client: Any, address: str, films: list[str], wait_for_version: Wait
) -> None:
    large = {"text": "x" * 60_000}
    with Client(address) as sender:
        for n in range(20):
            last = sender.index(b"large %d" % n, id=f"large {n}", metadata=large)
    wait_for_version(last.version)
    hits = client.search("anything", top=27).hits
    assert len(hits) == 27
    told = [hit for hit in hits if hit.metadata is not None]
    assert len(told) < 27
    assert sum(len(json.dumps(hit.metadata)) for hit in told) <= MAX_FACT_BYTES
    # Of the best hits first.
    assert hits[: len(told) - 7] == tuple(told)[: len(told) - 7]
    pages = every_page(client, 1000)
    assert [video.id for page in pages for video in page.videos] == films + [f"large {n}" for n in range(20)]
    assert len(pages) == 2


def test_the_list_has_every_video_once_in_order(client: Any, films: list[str]) -> None:
    for top in (1, 3, 7, 1000):
        pages = every_page(client, top)
        assert [video.id for page in pages for video in page.videos] == films
        assert {(page.count, len(page.videos) <= top) for page in pages} == {(7, True)}
    assert pages[0].videos[2] == VideoFacts("film 2", "/films/2.mp4", 3.0, {"n": 2, "tags": ["ü", "ü"]})


def test_pages_are_of_one_version(
    client: Any, films: list[str], address: str, server: ToyServer, wait_for_version: Wait
) -> None:
    first = client.list_videos(2)
    with Client(address) as other:
        other.update({"film 0": {}, "film 3": {"new": True}})
        last = other.index(b"newcomer", id="newcomer")
        other.delete(["film 5"])
    wait_for_version(last.version + 1)
    second = client.list_videos(10, after=first.next)
    assert [video.id for video in second.videos] == ["film 2", "film 3", "film 4", "film 6"]
    assert second.videos[1].metadata == {"n": 3, "tags": ["ü"] * 3}
    now = [video.id for page in every_page(client, 3) for video in page.videos]
    assert now == ["film 1", "film 2", "film 4", "film 6", "film 0", "film 3", "newcomer"]


def test_videos_are_changed_and_removed(client: Any, films: list[str], wait_for_version: Wait) -> None:
    merged = client.update({"film 2": {"tags": None, "year": 1999}, "stranger": {}}, merge=True)
    assert (merged.changed, merged.absent, merged.count) == (("film 2",), ("stranger",), 7)
    replaced = client.update({"film 3": {"only": "this"}})
    # What is told by id is the newest, whatever searches see.
    found = client.describe(["film 3", "stranger", "film 2"])
    assert found[1] is None
    assert [video.metadata for video in (found[0], found[2])] == [{"only": "this"}, {"n": 2, "year": 1999}]
    assert (found[2].source, found[2].duration) == ("/films/2.mp4", 3.0)
    wait_for_version(replaced.version)
    hits = {hit.id: hit for hit in client.search("anything", top=7).hits}
    assert len(hits) == 7
    assert hits["film 2"].metadata == {"n": 2, "year": 1999}
    removed = client.delete(["film 0", "film 1", "film 0", "stranger"])
    assert (removed.changed, removed.absent, removed.count) == (("film 0", "film 1"), ("stranger",), 5)
    assert client.count() == 5
    wait_for_version(removed.version)
    assert {hit.id for hit in client.search("anything", top=7).hits} == set(films[2:])
    assert client.delete([]).count == 5


REFUSED: list[tuple[Callable[[Any], object], str]] = [
    (lambda client: client.list_videos(0), "top is 0"),
    (lambda client: client.list_videos(5, after="nonsense!"), "cursor can't be read"),
    (lambda client: client.list_videos(5, after=5), "after is int"),
    (lambda client: client.search("a", facts=1), "facts is int"),
    (lambda client: client.delete("film 1"), "one text"),
    (lambda client: client.delete(["a\n"]), "white space"),
    (lambda client: client.update([("film 1", {})]), "give metadata by id"),
    (lambda client: client.update({"film 1": {"x": float("nan")}}), "JSON"),
    (lambda client: client.update({"film 1": {"x": "y" * 70_000}}), "limit is 65536"),
    (lambda client: client.update({"film 1": {"x": "y" * 65_000}}, merge=True), "limit is 65536"),
    (lambda client: client.update({}, merge="yes"), "merge is str"),
]


def test_what_can_not_be_is_refused(client: Any) -> None:
    client.index(b"film 1", id="film 1", metadata={"before": "y" * 600})
    for call, fault in REFUSED:
        with pytest.raises(InvalidRequest, match=fault):
            call(client)
    assert client.describe(["film 1"])[0].metadata == {"before": "y" * 600}


def test_large_changes_travel_in_parts() -> None:
    changes = {f"film {n}": {"text": "x" * 60_000} for n in range(200)}
    calls = update_calls(changes, merge=False)
    sizes = [sum(tensor.shape()[0] for tensor in call.inputs if tensor.name() == "changes") for call in calls]
    assert len(calls) > 2
    assert max(sizes) <= 4 << 20
    assert [len(calls) for calls in (delete_calls(["a"] * 9000), delete_calls([str(n) for n in range(9000)]))] == [1, 3]
    assert len(describe_calls([str(n) for n in range(130)])) == 3


def test_the_commands(films: list[str], address: str, wait_for_version: Wait) -> None:
    def run(*arguments: str, **options: Any) -> Any:
        return CliRunner().invoke(main, ["videos", *arguments, "--server", address], **options)

    listed = run("list", "--top", "3")
    assert listed.stdout.splitlines()[1] == '     3.0 s  film 1  {"n": 1, "tags": ["ü"]}'
    assert len(listed.stdout.splitlines()) == 3
    assert [json.loads(line)["id"] for line in run("list", "--json").stdout.splitlines()] == films
    shown = run("show", "film 2", "stranger")
    assert shown.exit_code == 1
    assert "/films/2.mp4" in shown.stdout
    assert "not in the gallery: stranger" in shown.stderr
    assert run("count").stdout == "7\n"
    assert run("update", "film 1", '{"year": 1999}', "--merge").stdout == "1 changed; the gallery has 7 videos\n"
    lines = '{"id": "film 2", "a": 1}\n{"id": "gone", "a": 1}\n'
    updated = run("update", "--metadata-file", "-", input=lines)
    assert (updated.exit_code, updated.stdout) == (1, "1 changed; the gallery has 7 videos\n")
    assert json.loads(run("show", "film 1", "--json").stdout)["metadata"] == {"n": 1, "tags": ["ü"], "year": 1999}
    assert run("delete", "film 1", "-", input="film 3\nfilm 4\n").stdout == "3 removed; the gallery has 4 videos\n"
    both = ("update", "film 1", "--metadata-file", "-")
    for wrong in (("update", "film 1"), ("update", "film 1", "[]"), ("update", "film 1", "{"), ("delete",), both):
        assert run(*wrong, input=lines).exit_code == 2


def test_a_list_of_nothing_is_told(address: str) -> None:
    listed = CliRunner().invoke(main, ["videos", "list", "--server", address])
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "index videos with `framesift index`" in listed.stderr
