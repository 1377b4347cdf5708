"""Films in segments over three shards: found, paged, filtered, replaced and removed as on one server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.packing import pack_joined
from framesift.export.bundle.ports import COUNT, DETAILS, ID_LENGTHS, IDS, OPTIONS, SCORER, TEXT_EMBEDDING, VERSION
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery.rows import GalleryEntry

from ..toy_ports import toy_manifest
from ..toy_scorer import DIM, FRAMES, scorer_graph
from .beside import Kept, beside, listed, one, pages, row_of

MakeEntry = Callable[..., GalleryEntry]
Both = tuple[Kept, Kept]
SHARDS = 3
# So few rows of films of many segments are of fewer films than are asked for.
_SHORTLIST = 5


@pytest.fixture
def two_stages(manifest: Manifest) -> Manifest:
    """A model that scores a short list of the nearest rows."""
    made = toy_manifest(FRAMES, 32, DIM, scorer="cross_encoder", attends=False)
    return replace(made, options={"shortlist": _SHORTLIST})


@pytest.fixture(params=["manifest", pytest.param("two_stages", marks=pytest.mark.slow)])
def both(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    manifest = request.getfixturevalue(request.param)
    graph = scorer_graph(attends=request.param == "manifest")
    files = {f"{SCORER}.onnx": graph.SerializeToString()}
    with beside(tmp_path, manifest, files, SHARDS, monkeypatch) as (alone, together, _):
        yield alone, together


def _text(seed: int = 0, rows: int = 1) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32)
    return {TEXT_EMBEDDING: values / np.linalg.norm(values, axis=-1, keepdims=True)}


def _film(make_entry: MakeEntry, id_: str, total: int, **facts: Any) -> list[GalleryEntry]:
    """A film's segments, of which the last is like the first: they tie."""
    digest = make_entry(id_).digest
    made = [
        make_entry(id_, seed=n, **{"digest": digest, "segment": Segment(n, total, 2.0 * n, 2.0 * n + 3), **facts})
        for n in range(total)
    ]
    return [*made[:-1], GalleryEntry(**{**vars(made[-1]), "tensors": made[0].tensors})]


def _fill(kept: Kept, make_entry: MakeEntry) -> None:
    for number in range(11):
        facts = {"metadata": json.dumps({"kind": "ab"[number % 2], "n": number})}
        if number % 3 == 0:
            kept.add([make_entry(f"film {number}", **facts)])
        else:
            kept.add(_film(make_entry, f"film {number}", 2 + number, **facts))
    kept.wait(_text())


def _alike(alone: Kept, together: Kept) -> None:
    for kept in (alone, together):
        kept.wait(_text())
    for seed in range(3):
        for rows, top, options in (
            (2, 5, {}),
            (1, 100, {"facts": True}),
            (1, 4, {"facts": True, "offset": 3}),
            (1, 6, {"facts": True, "segments": True}),
            (1, 9, {"facts": True, "where": "kind = 'a' and segment.number >= 1"}),
            (1, 9, {"facts": True, "where": "segment.start < 3", "segments": True}),
            (2, 3, {"min_score": 0.0}),
        ):
            text = _text(seed, rows)
            assert together.found(text, top, **options) == alone.found(text, top, **options), options
        named = [f"film {number}" for number in (1, 4, 6, 8)]
        text = _text(seed)
        assert together.found(text, 3, named, facts=True) == alone.found(text, 3, named, facts=True)
        for options in ({}, {"segments": True}, {"where": "n > 3"}, {"offset": 2}):
            found = [pages(kept, text, 3, lambda: None, **options) for kept in (alone, together)]
            assert found[1] == found[0], options
    for top in (4, 100):
        assert listed(together, top) == listed(alone, top)
        assert listed(together, top, "segment.number = 2") == listed(alone, top, "segment.number = 2")


def test_films_are_found_as_on_one_server_whatever_becomes_of_them(both: Both, make_entry: MakeEntry) -> None:
    alone, together = both
    for kept in both:
        _fill(kept, make_entry)
    _alike(alone, together)
    for kept in both:
        kept.add(_film(make_entry, "film 4", 3, metadata='{"n": 40}'))
        kept.add([make_entry("film 5", metadata='{"n": 50}')])
        kept.add(_film(make_entry, "film 6", 2))
        kept.change({"film 7": {"delete": True}, "film 3": {"delete": True}})
        kept.change({"film 8": {"merge": {"kind": "c"}}})
    _alike(alone, together)


@pytest.mark.slow
def test_pages_of_films_stay_as_the_first_one_was(both: Both, make_entry: MakeEntry) -> None:
    found = []
    for kept in both:
        _fill(kept, make_entry)
        later = iter(range(100, 200))

        def change(kept: Kept = kept, later: Iterator[int] = later) -> None:
            number = next(later)
            kept.add(_film(make_entry, f"film {number}", 3))
            kept.add(_film(make_entry, f"film {number - 96}", 2))
            kept.change({f"film {number - 90}": {"delete": True}})
            kept.wait(_text())

        found.append(pages(kept, _text(1), 2, change, offset=1))
    assert found[0] == found[1]
    assert len(found[0]) > 1


def test_a_film_waits_in_its_shard_for_its_last_segment(both: Both, make_entry: MakeEntry) -> None:
    _, together = both
    together.add([make_entry(f"film {number}") for number in range(6)])
    film = _film(make_entry, "film 2", 3)
    told = []
    for entry in film:
        together.add([entry])
        answer = one(together.lookup.run([_of_none()]))
        told.append(int(answer[COUNT][0]))
    # It takes the place of the one that was whole, at once.
    assert told == [6, 6, 6]
    together.wait(_text())
    raw = np.frombuffer(b'{"list": true}', np.uint8)[None]
    shown = json.loads(one(together.search.run([{OPTIONS: raw}]))[DETAILS][0].tobytes().rstrip(b"\0"))
    assert {video["id"]: video.get("segments", 1) for video in shown["videos"]}["film 2"] == 3
    assert shown["count"] == 6


def test_the_number_of_segments_that_are_there_is_told(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{SCORER}.onnx": scorer_graph().SerializeToString()}
    with beside(tmp_path, manifest, files, 2, monkeypatch) as (_, together, _):
        film = [row_of(entry) for entry in _film(make_entry, "film", 3)]
        answers = [one(together.index.run([row])) for row in film]
        assert [(int(each[VERSION][0, 0] > 0), int(each[COUNT][0, 0])) for each in answers] == [(0, 1), (0, 2), (1, 1)]


def _of_none() -> dict[str, np.ndarray]:
    ids, lengths = pack_joined([])
    return {IDS: ids, ID_LENGTHS: lengths}
