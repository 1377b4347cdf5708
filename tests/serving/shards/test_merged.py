"""Three shards answer as one server does, to the bit and in the same order, while videos come and go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import DeadlineExceeded, InvalidRequest, ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.packing import pack_joined
from framesift.export.bundle.ports import (
    COUNT,
    DETAILS,
    DIGESTS,
    ID_LENGTHS,
    IDS,
    OPTIONS,
    PRESENT,
    SCORER,
    TEXT_EMBEDDING,
    VERSION,
)
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.shard import part_of
from framesift.serving.shards.messages import SEARCH
from framesift.serving.shards.service import Service

from ..toy_ports import toy_manifest
from ..toy_scorer import DIM, FRAMES, scorer_graph
from .beside import Kept, beside, listed, one, pages, row_of, shown, tell
from .beside import request as asked

MakeEntry = Callable[..., GalleryEntry]
Both = tuple[Kept, Kept, list[Service]]
SHARDS = 3


@pytest.fixture
def two_stages(manifest: Manifest) -> Manifest:
    """A model that scores a short list of the nearest videos."""
    made = toy_manifest(FRAMES, 32, DIM, scorer="cross_encoder", attends=False)
    return replace(made, options={"shortlist": 6})


@pytest.fixture(params=["manifest", "two_stages"])
def both(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    manifest = request.getfixturevalue(request.param)
    graph = scorer_graph(attends=request.param == "manifest")
    files = {f"{SCORER}.onnx": graph.SerializeToString()}
    with beside(tmp_path, manifest, files, SHARDS, monkeypatch) as found:
        yield found


def _texts(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32)
    return {TEXT_EMBEDDING: values / np.linalg.norm(values, axis=-1, keepdims=True)}


def _alike(alone: Kept, together: Kept, seed: int, *, two_stages: bool) -> None:
    for kept in (alone, together):
        kept.wait(_texts(1))
    for rows, top, named, options in (
        (3, 5, (), {}),
        (1, 1000, (), {"facts": True}),
        (2, 4, (), {"offset": 3, "facts": True}),
        (1, 50, (), {"min_score": 0.1}),
        (1, 20, (), {"where": "year > 1990 or not kind = 'b'"}),
        (1, 20, (), {"where": "kind = 'a'", "min_score": 0.0}),
        *(() if two_stages else [(1, 4, (), {"like": "film 2"})]),
    ):
        text = _texts(rows, seed)
        assert together.found(text, top, named, **options) == alone.found(text, top, named, **options)
    for top in (3, 100):
        assert listed(together, top) == listed(alone, top)
        assert listed(together, top, "kind = 'a'") == listed(alone, top, "kind = 'a'")
    # No model with two stages searches by a video.
    for options in ({}, {"like": "film 4", "facts": False})[: 1 if two_stages else 2]:
        found = [pages(kept, _texts(1, seed), 4, lambda: None, **options) for kept in (alone, together)]
        assert found[0] == found[1]


def test_answers_are_one_servers_while_videos_come_and_go(
    both: Both, make_entry: MakeEntry, request: pytest.FixtureRequest
) -> None:
    alone, together, _ = both
    draw = np.random.default_rng(5)
    numbers = iter(range(1000))

    def made() -> GalleryEntry:
        number = next(numbers)
        metadata = {"year": int(draw.integers(1980, 2020))} | ({"kind": "ab"[number % 2]} if number % 3 else {})
        entry = make_entry(f"film {number}", metadata=json.dumps(metadata))
        # Every fourth has the record of another, and so equal scores.
        twin = make_entry(f"film {max(0, number - 5)}").tensors if number % 4 == 0 else entry.tensors
        return GalleryEntry(**{**vars(entry), "tensors": twin})

    ids: list[str] = []
    for kept in (alone, together):
        assert kept.found(_texts(2), 5) == [([], *each[1:]) for each in kept.found(_texts(2), 5)]
    for step in range(3):
        entries = [made() for _ in range(7)]
        ids += [entry.id for entry in entries]
        again = [GalleryEntry(**{**vars(make_entry(ids[step], seed=9)), "metadata": '{"year": 2020}'})]
        gone, renamed = ids.pop(3), ids[2]
        for kept in (alone, together):
            for entry in (*entries, *again):
                kept.add([entry])
            kept.change({gone: {"delete": True}, "nobody": {"delete": True}})
            kept.change({renamed: {"merge": {"kind": "a", "step": step}}})
        _alike(alone, together, step, two_stages="two_stages" in request.node.name)
    named = [ids[1], ids[4], ids[9], ids[1]]
    assert together.found(_texts(2), 5, named, facts=True) == alone.found(_texts(2), 5, named, facts=True)


def test_pages_stay_as_the_first_one_was(both: Both, make_entry: MakeEntry) -> None:
    alone, together, _ = both
    for kept in (alone, together):
        kept.add([make_entry(f"film {number}") for number in range(16)])
        kept.wait(_texts(1))
    found = []
    for kept in (alone, together):
        later = iter(range(100, 200))

        def change(kept: Kept = kept, later: Iterator[int] = later) -> None:
            number = next(later)
            kept.add([make_entry(f"film {number}"), make_entry(f"film {number - 98}", seed=7)])
            kept.change({f"film {number - 90}": {"delete": True}})
            kept.wait(_texts(1))

        found.append(pages(kept, _texts(1), 3, change, offset=1))
    assert found[0] == found[1]
    assert len(found[0]) > 1


def test_lookups_counts_and_refusals_are_one_servers(both: Both, make_entry: MakeEntry) -> None:
    alone, together, _ = both
    for kept in (alone, together):
        kept.add([make_entry(f"film {number}", metadata=f'{{"n{number % 2}": 1}}') for number in range(8)])
        kept.wait(_texts(1))
    ids, lengths = pack_joined([b"film 3", b"nobody", b"film 7", b"film 0"])
    facts = np.frombuffer(b'{"facts": true}', np.uint8)
    looked = [one(kept.lookup.run([{IDS: ids, ID_LENGTHS: lengths, OPTIONS: facts}])) for kept in (alone, together)]
    for name in (PRESENT, DIGESTS, COUNT):
        assert looked[0][name].tobytes() == looked[1][name].tobytes()
    assert json.loads(looked[0][DETAILS].tobytes())[0]["metadata"] == {"n1": 1}
    assert json.loads(looked[0][DETAILS].tobytes()) == json.loads(looked[1][DETAILS].tobytes())
    edited = [kept.change({"film 5": {"delete": True}, "x": {"delete": True}}) for kept in (alone, together)]
    assert edited[0][PRESENT].tolist() == edited[1][PRESENT].tolist() == [True, False]
    assert edited[0][COUNT] == edited[1][COUNT] == 7
    for kept in (alone, together):
        gone: dict[str, Any] = {f"film {number}": {"delete": True} for number in range(4)}
        with pytest.raises(InvalidRequest, match="limit is 65536"):
            kept.change({**gone, "film 6": {"metadata": {"x": "y" * 70_000}}})
        assert one(kept.lookup.run([{IDS: ids, ID_LENGTHS: lengths}]))[COUNT] == 7
    for options, told in (
        ({"where": "n2 = 1"}, "no video has the field n2"),
        ({"where": "n1 = 'a'"}, "n1 holds numbers in this gallery"),
        ({"where": "duration = 'a'"}, "duration holds numbers"),
        ({"offset": 4096}, "offset is 4096"),
        ({"offset": 4095}, "pages reach 4096 hits"),
        ({"after": "AAAA"}, "the cursor can't be read"),
    ):
        for kept in (alone, together):
            with pytest.raises(InvalidRequest, match=told):
                kept.found(_texts(1), 5, **options)
    for kept in (alone, together):
        kept.wait(_texts(1))
    # Several filters of one batch.
    filters = ("n1 = 1", "n0 = 1", "n2 = 1", "n1 > 5")
    batch = [asked(_texts(1), 5, where=where, facts=True) for where in filters]
    answers = [kept.search.run(batch) for kept in (alone, together)]
    assert isinstance(answers[1][2], InvalidRequest)
    for place in (0, 1, 3):
        assert shown(one(answers[1][place : place + 1])) == shown(one(answers[0][place : place + 1]))
    for kept in (alone, together):
        with pytest.raises(InvalidRequest, match="the gallery has no video 'film 99'"):
            kept.found(_texts(1), 5, ["film 1", "film 99"])
        with pytest.raises(InvalidRequest, match="top is 1001"):
            kept.found(_texts(1), 1001)


def test_facts_are_as_many_as_one_server_has_room_for(both: Both, make_entry: MakeEntry) -> None:
    alone, together, _ = both
    draw = np.random.default_rng(1)
    for kept in (alone, together):
        sizes = np.random.default_rng(1).integers(1, 60_000, 48).tolist()
        kept.add(
            [make_entry(f"film {n}", metadata=json.dumps({"x": "é" * (size // 6)})) for n, size in enumerate(sizes)]
        )
        kept.add([make_entry("short")])
        kept.wait(_texts(1))
    for seed in draw.integers(0, 1000, 4).tolist():
        found = together.found(_texts(1, seed), 100, facts=True)
        assert found == alone.found(_texts(1, seed), 100, facts=True)
        assert any(fact is None for fact in found[0][2]["hits"]) or len(found[0][0]) < 40


def test_a_shard_that_does_not_answer_is_named_or_an_error(
    both: Both, make_entry: MakeEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, together, services = both
    together.add([make_entry(f"film {number}") for number in range(30)])
    together.wait(_texts(1))
    whole = together.found(_texts(1), 30, facts=True)[0]
    with services[1].shard.turn(SEARCH), monkeypatch.context() as patch:
        patch.setattr(together.search._fleet, "_deadline_s", 5.0)
        with pytest.raises(DeadlineExceeded, match="shard 1/3 of the gallery did not answer within 5 s"):
            together.found(_texts(1), 30)
        assert shown_details(together, partial=True)["missing"] == ["1/3"]
    services[1].close()
    with pytest.raises(ServerUnavailable, match="shard 1/3 of the gallery does not answer"):
        together.found(_texts(1), 30)
    told = shown_details(together, partial=True)
    assert told["missing"] == ["1/3"]
    partial = together.found(_texts(1), 30, partial=True, facts=True)[0]
    assert partial[0] == [id_ for id_ in whole[0] if part_of(id_, SHARDS) != 1]
    lost, there = (make_entry(next(f"{n}" for n in range(99) if part_of(f"{n}", SHARDS) == shard)) for shard in (1, 0))
    with pytest.raises(ServerUnavailable, match="shard 1/3"):
        together.add([lost])
    # Others can be written, in the same batch, too.
    refused, written = together.index.run([row_of(lost), row_of(there)])
    assert isinstance(refused, ServerUnavailable)
    assert one([written])[VERSION].min() > 0
    first = one(together.search.run([asked(_texts(1), 3, partial=True)]))
    after = json.loads(first[DETAILS][0].tobytes().rstrip(b"\0"))["next"]
    with pytest.raises(ServerUnavailable, match="the pages before lack a shard"):
        together.found(_texts(1), 3, after=after)
    assert shown_details(together, partial=True, after=after)["missing"] == ["1/3"]
    # One of another server is no shard of this one.
    tell(tmp_path / "directory of shards", [[service] for service in services], "another".ljust(64))
    with pytest.raises(ServerUnavailable):
        together.found(_texts(1), 3, partial=True)


def shown_details(kept: Kept, **options: Any) -> dict[str, Any]:
    answer = one(kept.search.run([asked(_texts(1), 3, **options)]))
    return json.loads(answer[DETAILS][0].tobytes().rstrip(b"\0"))
