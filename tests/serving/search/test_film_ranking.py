"""The best films of a gallery in segments: those of the whole ranking, whatever is asked for, filtered and paged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING, TEXT_EMBEDDING
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.facts import Facts
from framesift.serving.search.films import rank_videos
from framesift.serving.search.listing import page
from framesift.serving.search.onnx_scorer import OnnxScorer
from framesift.serving.search.options import Options
from framesift.serving.search.paging import Page, mark_of
from framesift.serving.search.past import Cursor, at
from framesift.serving.search.ranking import GraphRanker
from framesift.serving.search.selecting import Selector
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.view import View

from ..conftest import unit
from ..toy_scorer import DIM, FRAMES, scorer_graph

Film = Callable[..., list[GalleryEntry]]


@pytest.fixture(params=[1, None], ids=["one row further", "as it is"])
def ranker(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GraphRanker:
    """A ranker, of which some go so little further that many passes are needed."""
    onnx.save(scorer_graph(), tmp_path / "scorer.onnx")
    made = GraphRanker(OnnxScorer(tmp_path / "scorer.onnx", 1), 64)
    if request.param is not None:
        monkeypatch.setattr(made, "spread", lambda top: request.param)
        monkeypatch.setattr("framesift.serving.search.films._FURTHER", 1)
    return made


@pytest.fixture
def film(make_entry: Callable[..., GalleryEntry]) -> Film:
    def make(id_: str, count: int, like: np.ndarray, level: int = 8) -> list[GalleryEntry]:
        """Segments that resemble a vector, in steps, so that there are ties."""
        random = np.random.default_rng([count, *id_.encode()])
        made = []
        for number in range(count):
            near = np.round(random.uniform(0, 2) * level) / level
            frame = unit(near * like + random.choice([-1, 1], DIM))
            tensors = {FRAME_EMBEDDINGS: np.tile(frame, (FRAMES, 1)), MEAN_EMBEDDING: frame}
            segment = Segment(number, count, 2.0 * number, 2.0 * number + 3)
            made.append(replace(make_entry(id_), tensors=tensors, segment=segment, duration=2.0 * count + 1))
        return made

    return make


@pytest.fixture
def gallery(folder: Path, manifest: Manifest) -> Iterator[Gallery]:
    with Gallery.open(folder, manifest) as opened:
        yield opened


TEXTS = {TEXT_EMBEDDING: unit(np.random.default_rng(0).standard_normal((2, DIM)).astype(np.float32))}


def fill(gallery: Gallery, film: Film, random: np.random.Generator, films: int = 12) -> None:
    """Films of one to forty segments, some replaced, some removed; one resembles the text most in all of it."""
    like = TEXTS[TEXT_EMBEDDING][0]
    for n in range(films):
        gallery.add(film(f"f{n}", int(random.choice([1, 1, 2, 5, 15])), like))
    gallery.add(film("best", 50, 40 * like))
    gallery.add(film("f3", 7, like))
    gallery.remove(["f4", "f5"])


def expected(ranker: GraphRanker, view: View, q: int) -> list[tuple[str, int, float]]:
    """Every film by its best row, from the ranking of all rows."""
    one = {name: values[q : q + 1] for name, values in TEXTS.items()}
    (ranked,) = ranker.rank(view, one, [view.count])
    found: dict[str, tuple[str, int, float]] = {}
    for row, score in zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True):
        found.setdefault(view.ids[row], (view.ids[row], row, score))
    return list(found.values())


@pytest.mark.parametrize("seed", range(2))
def test_the_best_films_are_those_of_the_whole_ranking(
    gallery: Gallery, film: Film, ranker: GraphRanker, seed: int
) -> None:
    random = np.random.default_rng(seed)
    fill(gallery, film, random)
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS])
    facts = Facts(gallery.reader())
    selector = Selector(snapshot, facts)
    assert snapshot.view.videos == gallery.count == 11
    parts = [
        snapshot.view,
        selector.part(snapshot.view, (), "segment.start >= 10 and segment.number < 30", None),
        selector.part(snapshot.view, ["best", "f3", "f7"], "", None),
        selector.part(snapshot.view, (), "duration < 20", None),
    ]
    for view in parts:
        wanted = [expected(ranker, view, q) for q in range(2)]
        assert view.videos == len(wanted[0]) == len(view.one_each())
        for tops in ([1, 1], [5, 2], [500, 3]):
            found = rank_videos(ranker, view, TEXTS, tops)
            for ranked, films, top in zip(found, wanted, tops, strict=True):
                assert [view.ids[row] for row in ranked.rows] == [id_ for id_, _, _ in films[:top]]
                assert ranked.rows.tolist() == [row for _, row, _ in films[:top]]
                np.testing.assert_allclose(ranked.scores, [score for _, _, score in films[:top]], rtol=1e-6, atol=1e-6)
                assert ranked.attention is not None
                assert len(ranked.attention) == len(ranked.rows)


def test_pages_neither_repeat_nor_miss_a_film_while_films_come_and_go(
    gallery: Gallery, film: Film, ranker: GraphRanker
) -> None:
    like = TEXTS[TEXT_EMBEDDING][0]
    fill(gallery, film, np.random.default_rng(5))
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS])
    one = {name: values[:1] for name, values in TEXTS.items()}
    wanted = [id_ for id_, _, _ in expected(ranker, snapshot.view, 0)]
    seen: list[str] = []
    after = ""
    for number in range(20):
        asked = Page.of(Options(after=after), (), 4)
        view = snapshot.view if asked.cursor is None else at(snapshot.view, asked.cursor.version, snapshot.named)
        (ranked,) = rank_videos(ranker, view, one, [asked.ranks(ranker)])
        hits, following = asked.cut(view, ranked, ranker)
        seen += [view.ids[row] for row in hits.rows]
        # What comes is not there, what is replaced is shown as it was.
        gallery.add(film(f"new {number}", 9, 30 * like))
        gallery.add(film("best" if number == 1 else f"f{8 + number % 3}", 1 + number, like))
        snapshot.refresh()
        if following is None:
            break
        after = following.text()
    assert seen == wanted
    assert not set(seen) & {"new 0", "new 1"}


def test_films_are_listed_once_each_and_described_whole(gallery: Gallery, film: Film) -> None:
    fill(gallery, film, np.random.default_rng(6))
    snapshot, facts = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS]), Facts(gallery.reader())
    facts.follow(snapshot.view.version)
    mark, cursor, seen = mark_of("list", ""), None, list[str]()
    while True:
        told = json.loads(page(snapshot.view, facts, 5, mark, cursor))
        seen += [video["id"] for video in told["videos"]]
        counts = {video["id"]: video.get("segments", 1) for video in told["videos"]}
        assert told["count"] == 11
        assert counts.get("best", 50) == 50
        if told["next"] is None:
            break
        cursor = Cursor.read(told["next"], mark)
    assert sorted(seen) == sorted(set(gallery.reader().table.to_table(["id"])["id"].to_pylist()))
    assert len(seen) == 11


def test_a_gallery_without_segments_is_ranked_as_ever(
    gallery: Gallery, make_entry: Callable[..., GalleryEntry], ranker: GraphRanker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add([make_entry(f"v{n}") for n in range(30)])
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS])
    assert snapshot.view.segments is None
    asked: list[object] = []
    whole = ranker.rank
    monkeypatch.setattr(ranker, "rank", lambda *given: (asked.append(given), whole(*given))[1])
    found = rank_videos(ranker, snapshot.view, TEXTS, [3, 30])
    assert [len(each.rows) for each in found] == [3, 30]
    # The same call, and no other.
    assert asked == [(snapshot.view, TEXTS, [3, 30])]
    gallery.add([replace(make_entry("cut"), segment=Segment(n, 2, n, n + 1)) for n in range(2)])
    snapshot.refresh()
    assert snapshot.view.segments is not None
    assert snapshot.view.videos == 31
