"""The search's body against a float64 reference, with a small scorer graph of the real kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from framesift.export.bundle.errors import FramesiftError, GalleryError, InvalidQuery, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import GALLERY_VARIABLE
from framesift.export.bundle.packing import pack_joined, unpack_joined
from framesift.export.bundle.ports import (
    ATTENTION,
    CANDIDATE_LENGTHS,
    CANDIDATES,
    DETAILS,
    FRAME_EMBEDDINGS,
    ID_LENGTHS,
    IDS,
    MEAN_EMBEDDING,
    OPTIONS,
    SCORER,
    SCORES,
    TEXT_EMBEDDING,
    TIMESTAMPS,
    TOP,
    VERSION,
    VIDEO_ENCODER,
)
from framesift.export.bundle.scorers import block_rows
from framesift.export.bundle.spec import GraphPorts
from framesift.serving.backends.gallery_search import GallerySearch
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import CACHE, Gallery
from framesift.serving.search import loading
from framesift.serving.search.onnx_scorer import OnnxScorer
from framesift.serving.search.options import Options
from framesift.serving.search.ranking import GraphRanker

from ...waiting import until
from ..toy_ports import toy_manifest
from ..toy_scorer import DIM, FRAMES, scorer_graph

MakeEntry = Callable[..., GalleryEntry]
Answer = dict[str, npt.NDArray[Any]]


def _reference(
    text: npt.NDArray[np.float32], entries: list[GalleryEntry], top: int
) -> list[tuple[list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    frames = np.stack([entry.tensors[FRAME_EMBEDDINGS].astype(np.float16) for entry in entries]).astype(np.float64)
    logits = np.einsum("qd,vfd->qvf", text.astype(np.float64), frames)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    scores = (weights * logits).sum(-1)
    found = []
    for q in range(len(text)):
        order = np.argsort(-scores[q], kind="stable")[:top]
        found.append(([entries[v].id for v in order], scores[q, order], weights[q, order]))
    return found


@contextmanager
def _searching(
    tmp_path: Path, folder: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GallerySearch]:
    version = tmp_path / "gallery_search" / "1"
    version.mkdir(parents=True)
    (version / "manifest.json").write_text(manifest.to_json())
    attends = any(port.name == ATTENTION for port in manifest.graphs[SCORER].outputs)
    onnx.save(scorer_graph(attends=attends), version / f"{SCORER}.onnx")
    monkeypatch.setenv(GALLERY_VARIABLE, str(folder))
    body = GallerySearch()
    body.setup({}, version)
    yield body
    body.finalize()


@pytest.fixture
def search(
    tmp_path: Path, folder: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GallerySearch]:
    with _searching(tmp_path, folder, manifest, monkeypatch) as body:
        yield body


@pytest.fixture
def gallery(search: GallerySearch, folder: Path, manifest: Manifest) -> Gallery:
    return Gallery.open(folder, manifest)


def _texts(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32)


def _request(text: npt.NDArray[np.float32], top: int) -> dict[str, npt.NDArray[Any]]:
    return {TEXT_EMBEDDING: text, TOP: np.full((len(text), 1), top, np.int32)}


def _wait(search: GallerySearch, version: int) -> None:
    until(lambda: search.snapshot.view.version >= version)


def _answers(search: GallerySearch, *requests: dict[str, npt.NDArray[Any]]) -> list[Answer]:
    answers = search.run(list(requests))
    assert len(answers) == len(requests)
    good = []
    for answer in answers:
        assert not isinstance(answer, FramesiftError)
        good.append(dict(answer))
    return good


def _ids(answer: Answer, row: int) -> list[str]:
    return unpack_joined(answer[IDS][row], answer[ID_LENGTHS][row], IDS)


def test_the_best_videos_are_those_of_the_float64_reference(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry
) -> None:
    entries = [make_entry(f"video {n}", seed=n) for n in range(300)]
    commit = gallery.add(entries)
    _wait(search, commit.version)
    text = _texts(5)
    (answer,) = _answers(search, _request(text, 20))
    assert {name: (str(values.dtype), values.shape) for name, values in answer.items() if name != IDS} == {
        ID_LENGTHS: ("int32", (5, 20)),
        SCORES: ("float32", (5, 20)),
        ATTENTION: ("float32", (5, 20, FRAMES)),
        TIMESTAMPS: ("float32", (5, 20, FRAMES)),
        VERSION: ("int64", (5, 1)),
    }
    times = {entry.id: entry.timestamps for entry in entries}
    for q, (ids, scores, attention) in enumerate(_reference(text, entries, 20)):
        assert _ids(answer, q) == ids
        np.testing.assert_allclose(answer[SCORES][q], scores, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(answer[ATTENTION][q], attention, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(answer[TIMESTAMPS][q], np.stack([times[id_] for id_ in ids]))
    assert (answer[VERSION] == commit.version).all()


def test_requests_of_one_execute_answer_as_if_alone(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry
) -> None:
    _wait(search, gallery.add([make_entry(f"v{n}") for n in range(40)]).version)
    requests = [_request(_texts(rows, seed), top) for seed, (rows, top) in enumerate([(1, 3), (2, 40), (3, 1)])]
    for together, request in zip(_answers(search, *requests), requests, strict=True):
        (alone,) = _answers(search, request)
        assert together.keys() == alone.keys()
        for name, values in alone.items():
            if values.dtype == np.float32:
                np.testing.assert_allclose(together[name], values, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(together[name], values)


def test_a_bad_request_does_not_touch_the_others(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry
) -> None:
    _wait(search, gallery.add([make_entry("a")]).version)
    mixed = _request(_texts(2), 5)
    mixed[TOP][1] = 6
    broken = _texts(1)
    broken[0, 3] = np.nan
    answers = search.run(
        [
            _request(_texts(1), 0),
            _request(_texts(1), 5),
            _request(_texts(1), 1001),
            mixed,
            _request(broken, 5),
        ]
    )
    kinds = [type(answer) for answer in answers]
    assert [kinds[place] for place in (0, 2, 3, 4)] == [
        InvalidRequest,
        InvalidRequest,
        InvalidRequest,
        InvalidQuery,
    ]
    assert str(answers[0]) == "top is 0, it must lie in 1..1000"
    assert "same top" in str(answers[3])
    assert not isinstance(answers[1], FramesiftError)
    assert _ids(dict(answers[1]), 0) == ["a"]
    assert all(isinstance(answer, InvalidRequest) for answer in search.run([_request(_texts(1), -1)]))


def test_an_empty_gallery_has_no_hits(search: GallerySearch, gallery: Gallery) -> None:
    (answer,) = _answers(search, _request(_texts(2), 10))
    assert answer[SCORES].shape == answer[ID_LENGTHS].shape == (2, 0)
    assert answer[ATTENTION].shape == answer[TIMESTAMPS].shape == (2, 0, FRAMES)
    assert [_ids(answer, row) for row in (0, 1)] == [[], []]
    assert answer[VERSION].tolist() == [[gallery.version]] * 2


def test_there_are_never_more_hits_than_videos(search: GallerySearch, gallery: Gallery, make_entry: MakeEntry) -> None:
    gallery.add([make_entry(id_) for id_ in ("a", "b", "ünï ☃", "c")])
    _wait(search, gallery.remove(["b"]).version)
    (answer,) = _answers(search, _request(_texts(1), 1000))
    assert sorted(_ids(answer, 0)) == ["a", "c", "ünï ☃"]
    assert np.isfinite(answer[SCORES]).all()


def test_equal_scores_come_in_the_order_of_indexing_and_the_removed_do_not(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry
) -> None:
    tensors = make_entry("any").tensors
    gallery.add([make_entry(f"v{n:02}", tensors=tensors) for n in range(30)])
    gallery.add([make_entry("v03", tensors=tensors)])
    _wait(search, gallery.remove(["v05"]).version)
    (answer,) = _answers(search, _request(_texts(1), 7))
    assert _ids(answer, 0) == ["v00", "v01", "v02", "v04", "v06", "v07", "v08"]
    (answer,) = _answers(search, _request(_texts(1), 100))
    assert _ids(answer, 0)[-1] == "v03"


def _pages(search: GallerySearch, top: int, **options: Any) -> list[list[str]]:
    """All pages of one text's ranking."""
    pages, after = [], ""
    while after is not None:
        asked = np.frombuffer(Options(**options, after=after).json(), np.uint8)[None]
        (answer,) = _answers(search, {**_request(_texts(1), top), OPTIONS: asked})
        pages.append(unpack_joined(answer[IDS][0], answer[ID_LENGTHS][0], IDS))
        after = json.loads(answer[DETAILS][0].tobytes())["next"]
    return pages


def test_the_video_that_is_searched_with_is_no_hit_on_any_page(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry
) -> None:
    gallery.add([make_entry(f"v{n}") for n in range(7)])
    _wait(search, gallery.version)
    (whole,) = _pages(search, 7)
    for like in (*whole, "not there"):
        others = [id_ for id_ in whole if id_ != like]
        for top in range(1, 9):
            pages = _pages(search, top, like=like)
            assert [id_ for page in pages for id_ in page] == others
            assert [len(page) for page in pages[:-1]] == [top] * (len(pages) - 1)
            assert pages[-1]
            assert _pages(search, top, like=like, include=True) == _pages(search, top)
        narrowed = _pages(search, 2, like=like, where="id != 'v3'")
        assert [id_ for page in narrowed for id_ in page] == [id_ for id_ in others if id_ != "v3"]
        assert _pages(search, 7, like=like, offset=2) == [others[2:]]


@pytest.mark.parametrize("block_bytes", [1, 3000, 1 << 20])
def test_the_size_of_a_block_changes_nothing(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry, block_bytes: int, tmp_path: Path
) -> None:
    _wait(search, gallery.add([make_entry(f"v{n}") for n in range(101)]).version)
    view, text = search.snapshot.view, {TEXT_EMBEDDING: _texts(3)}
    scorer = OnnxScorer(tmp_path / "gallery_search" / "1" / f"{SCORER}.onnx", 1)
    whole = search.ranker.rank(view, text, [9, 101, 2])
    cut = GraphRanker(scorer, 4 * FRAMES, block_bytes).rank(view, text, [9, 101, 2])
    for expected, found in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
        np.testing.assert_allclose(found.attention, expected.attention, rtol=1e-5, atol=1e-7)
    blocks = -(-101 // block_rows(view.tensors, 3, 4 * FRAMES, block_bytes))
    assert blocks == {1: 101, 3000: 17, 1 << 20: 1}[block_bytes]


def _among(request: dict[str, npt.NDArray[Any]], ids: list[str]) -> dict[str, npt.NDArray[Any]]:
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    rows = len(request[TOP])
    named = {CANDIDATES: np.repeat(joined[None], rows, 0), CANDIDATE_LENGTHS: np.repeat(lengths[None], rows, 0)}
    return {**request, **named}


def test_candidates_are_searched_alone_beside_searches_of_everything(
    search: GallerySearch, gallery: Gallery, make_entry: MakeEntry
) -> None:
    entries = [make_entry(f"v{n}", seed=n) for n in range(40)]
    gallery.add(entries)
    _wait(search, gallery.remove(["v3"]).version)
    named, text = ["v17", "v2", "v39", "v2"], _texts(2)
    nobody = {CANDIDATES: np.zeros((2, 1), np.uint8), CANDIDATE_LENGTHS: np.zeros((2, 1), np.int32)}
    everything = _request(text, 50)
    mixed = _among(_request(text, 5), named)
    mixed[CANDIDATES][1, 1] ^= 1
    answers = search.run(
        [
            {**everything, **nobody},
            _among(_request(text, 50), named),
            _among(_request(text, 5), ["v1", "v3"]),
            mixed,
            everything,
        ]
    )
    left = [entry for entry in entries if entry.id != "v3"]
    kept = [entry for entry in entries if entry.id in named]
    for place, among in ((0, left), (1, kept), (4, left)):
        answer = answers[place]
        assert not isinstance(answer, FramesiftError)
        for q, (ids, scores, _) in enumerate(_reference(text, among, 50)):
            assert _ids(dict(answer), q) == ids
            np.testing.assert_allclose(answer[SCORES][q], scores, rtol=1e-5, atol=1e-5)
    for place, fault in ((2, "no video 'v3'"), (3, "same candidates")):
        assert isinstance(answers[place], InvalidRequest)
        assert fault in str(answers[place])


def test_a_transformer_for_every_pair_has_a_limit(
    tmp_path: Path, folder: Path, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = toy_manifest(FRAMES, 32, DIM, scorer="clip_pooling", attends=False)
    encoder = manifest.graphs[VIDEO_ENCODER]
    graphs = {**manifest.graphs, VIDEO_ENCODER: GraphPorts(encoder.inputs, encoder.outputs[:1])}
    manifest = replace(manifest, graphs=graphs, options={"scan_limit": 6})
    entries = [make_entry(f"v{n}", seed=n) for n in range(9)]
    entries = [replace(entry, tensors={FRAME_EMBEDDINGS: entry.tensors[FRAME_EMBEDDINGS]}) for entry in entries]
    text = _texts(2)
    with _searching(tmp_path, folder, manifest, monkeypatch) as search, Gallery.open(folder, manifest) as gallery:
        gallery.add(entries)
        _wait(search, gallery.remove([f"v{n}" for n in range(3)]).version)
        (answer,) = _answers(search, _request(text, 50))
        for q, (ids, scores, _) in enumerate(_reference(text, entries[3:], 50)):
            assert _ids(answer, q) == ids
            np.testing.assert_allclose(answer[SCORES][q], scores, rtol=1e-5, atol=1e-5)
        _wait(search, gallery.add(entries[:1]).version)
        every, few, many = search.run(
            [
                _request(text, 1),
                _among(_request(text, 2), ["v8", "v0"]),
                _among(_request(text, 1), [f"v{n}" for n in (0, 3, 4, 5, 6, 7, 8)]),
            ]
        )
        assert isinstance(every, InvalidRequest)
        assert "at most 6 videos" in str(every)
        assert "--scan-limit 7, name the candidates with the search, or let another model" in str(every)
        assert not isinstance(few, FramesiftError)
        assert {*_ids(dict(few), 0)} == {"v0", "v8"}
        assert isinstance(many, InvalidRequest)
        assert "names 7 candidates" in str(many)


def test_only_the_tensors_that_the_scorer_reads_are_held(search: GallerySearch) -> None:
    assert list(search.snapshot.view.tensors) == [FRAME_EMBEDDINGS]
    assert MEAN_EMBEDDING not in search.snapshot.view.tensors


def test_without_attention_the_answer_has_none(
    tmp_path: Path, folder: Path, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = toy_manifest(FRAMES, 32, DIM, scorer="multi_grained", attends=False)
    entries = [make_entry(f"v{n}", seed=n) for n in range(33)]
    with _searching(tmp_path, folder, manifest, monkeypatch) as search:
        (empty,) = _answers(search, _request(_texts(2), 5))
        assert empty.keys() == {IDS, ID_LENGTHS, SCORES, TIMESTAMPS, VERSION}
        _wait(search, Gallery.open(folder, manifest).add(entries).version)
        text = _texts(3)
        (answer,) = _answers(search, _request(text, 6))
        assert answer.keys() == empty.keys()
        for q, (ids, scores, _) in enumerate(_reference(text, entries, 6)):
            assert _ids(answer, q) == ids
            np.testing.assert_allclose(answer[SCORES][q], scores, rtol=1e-5, atol=1e-5)


def test_a_cross_encoder_orders_what_the_means_chose(
    tmp_path: Path, folder: Path, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = toy_manifest(FRAMES, 32, DIM, scorer="cross_encoder", attends=False)
    entries = [make_entry(f"v{n}", seed=n) for n in range(33)]
    means = np.stack([entry.tensors[MEAN_EMBEDDING].astype(np.float16) for entry in entries]).astype(np.float64)
    text = _texts(3)
    with _searching(tmp_path, folder, replace(manifest, options={"shortlist": 10}), monkeypatch) as search:
        assert set(search.snapshot.view.tensors) == {FRAME_EMBEDDINGS, MEAN_EMBEDDING}
        _wait(search, Gallery.open(folder, manifest).add(entries).version)
        for top in (4, 10, 12, 50):
            (answer,) = _answers(search, _request(text, top))
            assert ATTENTION not in answer
            for q in range(len(text)):
                chosen = np.sort(np.argsort(-(means @ text[q]), kind="stable")[: max(top, 10)])
                ((ids, scores, _),) = _reference(text[q : q + 1], [entries[v] for v in chosen], top)
                assert _ids(answer, q) == ids
                np.testing.assert_allclose(answer[SCORES][q], scores, rtol=1e-5, atol=1e-5)


def test_a_search_that_maps_the_cache_answers_as_the_one_that_made_it(
    tmp_path: Path, folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "CACHED_BYTES", 1)
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(60)])
        # Served galleries are reached by a link.
        (tmp_path / "link").symlink_to(folder)
        text, found = _texts(4), []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            with _searching(tmp_path / name, tmp_path / "link", manifest, monkeypatch) as search:
                found += _answers(search, _request(text, 20))
                until(lambda: list((folder / CACHE).glob("*.rows")))
                # The second loads nothing of the table.
                monkeypatch.setattr(loading, "_read", None)
                _wait(search, gallery.add([make_entry(name)]).version)
                assert search.snapshot.view.count == 61 + (name == "second")
    first, second = found
    for q in range(4):
        assert [id_ for id_ in _ids(second, q) if id_ != "first"][:19] == _ids(first, q)[:19]


def test_a_gallery_that_has_changed_on_disk_is_told_of_until_it_is_mended(
    tmp_path: Path, folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(name) for name in ("first", "second", "third")])
        (batch,) = gallery.reader().batches([FRAME_EMBEDDINGS], -1)
        row = batch.column("id").to_pylist().index("second")
        kept = np.asarray(batch.column(FRAME_EMBEDDINGS).flatten().to_numpy()).reshape(3, -1)[row].tobytes()
        (file,) = folder.glob("videos.lance/data/*")
        raw = file.read_bytes()
        place = raw.index(kept)
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 8]) + raw[place + 1 :])
        with _searching(tmp_path, folder, manifest, monkeypatch) as search:
            (error,) = search.run([_request(_texts(2), 3)])
            assert isinstance(error, GalleryError)
            assert "of 'second': `framesift gallery verify`" in str(error)
            gallery.remove(["second"])
            until(lambda: search.snapshot.fault is None)
            (answer,) = _answers(search, _request(_texts(2), 3))
            assert set(_ids(answer, 0)) == {"first", "third"}
