"""The two stages of a re-ranked search against brute force, over views of odd sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.ports import (
    FRAME_EMBEDDINGS,
    FRAME_MASK,
    MEAN_EMBEDDING,
    SCORER,
    TEXT_EMBEDDING,
    TEXT_ENCODER,
    VIDEO_ENCODER,
)
from framesift.export.bundle.scorer_card import Sizes
from framesift.export.bundle.scorers import (
    CLIP_POOLING,
    ROLLED_ENCODER,
    block_rows,
    pair_floats,
    patience_s,
    scan_limit,
    shortlist_size,
)
from framesift.export.bundle.spec import GraphPorts, TensorSpec
from framesift.serving.search.films import rank_videos
from framesift.serving.search.pairs import ScanRanker
from framesift.serving.search.shortlist import ShortlistRanker
from framesift.serving.search.view import View

from ..toy_ports import toy_manifest

# numpy takes the first width's first stage, the compiled dot product the second's.
F, D, WIDE = 3, 5, 16
PLACED = "placed_text"
Arrays = dict[str, npt.NDArray[Any]]


class SlowScorer:
    """Best masked dot product of a frame; counts the videos of every call."""

    attends = False

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, text: Any, records: Any) -> tuple[npt.NDArray[np.float32], None]:
        assert set(records) == {FRAME_EMBEDDINGS, FRAME_MASK}
        self.calls.append(len(records[FRAME_MASK]))
        each = np.einsum("qd,vfd->qvf", text[PLACED], records[FRAME_EMBEDDINGS].astype(np.float32))
        return np.where(records[FRAME_MASK] > 0, each, -np.inf).max(-1).astype(np.float32), None


def whole_numbers(random: np.random.Generator, *shape: int) -> npt.NDArray[np.float16]:
    """So few of them that many scores are equal, and so small that every sum is exact in any order."""
    return random.integers(-2, 3, shape).astype(np.float16)


def view_of(rows: int, dead: list[int], random: np.random.Generator, width: int = D) -> View:
    mask = (random.random((rows, F)) < 0.6).astype(np.float16)
    mask[:, 0] = 1
    tensors = {
        FRAME_EMBEDDINGS: whole_numbers(random, rows, F, width),
        FRAME_MASK: mask,
        MEAN_EMBEDDING: whole_numbers(random, rows, width),
    }
    ids = [f"v{n}" for n in range(rows)]
    return View(1, rows - len(dead), ids, tensors, np.zeros((rows, F), np.float32), np.array(dead, np.intp))


def texts(count: int, random: np.random.Generator, width: int = D) -> Arrays:
    return {
        TEXT_EMBEDDING: whole_numbers(random, count, width).astype(np.float32),
        PLACED: whole_numbers(random, count, width).astype(np.float32),
    }


def brute_force(view: View, text: Arrays, q: int, top: int, shortlist: int) -> tuple[list[int], list[float]]:
    """Plain sorting of Python tuples: by score downwards, then by row; what is not a number counts as -inf."""
    dead = set(view.dead.tolist())

    def key(score: float, row: int) -> tuple[float, int]:
        return (np.inf if np.isnan(score) else -score, row)

    first = view.tensors[MEAN_EMBEDDING].astype(np.float64) @ text[TEXT_EMBEDDING][q].astype(np.float64)
    live = [row for row in range(len(view.ids)) if row not in dead]
    chosen = sorted(live, key=lambda row: key(first[row], row))[: max(top, shortlist)]
    second = {}
    for row in chosen:
        each = view.tensors[FRAME_EMBEDDINGS][row].astype(np.float64) @ text[PLACED][q].astype(np.float64)
        second[row] = max(e for e, m in zip(each, view.tensors[FRAME_MASK][row], strict=True) if m > 0)
    order = sorted(chosen, key=lambda row: key(second[row], row))[:top]
    return order, [-np.inf if np.isnan(second[row]) else second[row] for row in order]


@pytest.mark.parametrize("width", [D, WIDE])
@pytest.mark.parametrize("seed", range(12))
def test_a_short_list_is_ranked_as_by_brute_force(seed: int, width: int) -> None:
    random = np.random.default_rng(seed)
    rows, shortlist = int(random.integers(1, 130)), int(random.integers(1, 40))
    dead = np.flatnonzero(random.random(rows) < random.choice([0, 0.3])).tolist()
    view, count = view_of(rows, dead, random, width), int(random.integers(1, 5))
    text, tops = texts(count, random, width), random.choice([1, 2, 7, shortlist, shortlist + 9, 1000], count).tolist()
    scorer = SlowScorer()
    ranked = ShortlistRanker(scorer, shortlist, 7).rank(view, text, tops)
    assert len(ranked) == count
    for q, (row, top) in enumerate(zip(ranked, tops, strict=True)):
        order, scores = brute_force(view, text, q, top, shortlist)
        assert row.rows.tolist() == order
        assert row.scores.tolist() == scores
        assert row.attention is None
    assert [calls for calls in scorer.calls if calls > max(*tops, shortlist)] == []


@pytest.mark.parametrize("width", [D, WIDE])
@pytest.mark.parametrize("top", [1, 3, 10, 40])
def test_a_short_list_of_few_films_is_not_widened(width: int, top: int) -> None:
    random = np.random.default_rng(top)
    counts = [30, 1, 30, 2, 30, 1, 6]
    view = replace(
        view_of(100, [], random, width),
        numbers=np.arange(100),
        segments=np.concatenate([np.arange(count) for count in counts]).astype(np.int32),
        counts=np.repeat(counts, counts).astype(np.int32),
    )
    text, scorer = texts(3, random, width), SlowScorer()
    ranker = ShortlistRanker(scorer, 12, 7)
    found = rank_videos(ranker, view, text, [top] * 3)
    # Each text's short list is scored once, however few films it holds, and nothing else is.
    assert sum(scorer.calls) == 3 * max(top, 12)
    for q, ranked in enumerate(found):
        rows, scores = brute_force(view, text, q, max(top, 12), 12)
        best: dict[int, tuple[int, float]] = {}
        for row, score in zip(rows, scores, strict=True):
            best.setdefault(int(view.films(np.array([row]))[0]), (row, score))
        assert list(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)) == [*best.values()][:top]
    # Of what a search names all is scored, whatever the short list.
    scorer.calls.clear()
    one = {name: values[:1] for name, values in text.items()}
    (named,) = rank_videos(ranker, replace(view, chosen=np.arange(31, 100), count=69, named=True), one, [top])
    assert (sum(scorer.calls), len(named.rows)) == (69, min(top, 5))
    # Where all are scored, they are once, too.
    scorer.calls.clear()
    (whole,) = rank_videos(ScanRanker(scorer, 7), view, one, [top])
    assert sum(scorer.calls) == 100
    assert len(whole.rows) == min(top, len(counts))


def test_many_videos_are_read_in_blocks_and_none_is_lost() -> None:
    random = np.random.default_rng(1)
    view = view_of(9001, [0, 4095, 4096, 9000], random)
    text = texts(2, random)
    for q, row in enumerate(ShortlistRanker(SlowScorer(), 50, 7).rank(view, text, [10, 70])):
        assert row.rows.tolist() == brute_force(view, text, q, (10, 70)[q], 50)[0]


@pytest.mark.parametrize("width", [D, WIDE])
def test_a_part_of_a_gallery_has_a_short_list_of_its_own_or_is_one(width: int) -> None:
    random = np.random.default_rng(5)
    whole, text = view_of(60, [3, 50], random, width), texts(2, random, width)
    rows = np.array([row for row in range(0, 60, 2) if row != 50])
    part = replace(whole, chosen=rows, count=len(rows))
    others = [row for row in range(60) if row not in rows]
    alone = replace(whole, dead=np.array(others), count=len(rows))
    scorer = SlowScorer()
    for q, row in enumerate(ShortlistRanker(scorer, 8, 7).rank(part, text, [5, 9])):
        assert row.rows.tolist() == brute_force(alone, text, q, (5, 9)[q], 8)[0]
    assert scorer.calls == [8, 9]
    # Those that a search names are all scored.
    (named, _) = ShortlistRanker(scorer, 8, 7).rank(replace(part, named=True), text, [5, 9])
    assert named.rows.tolist() == brute_force(alone, text, 0, 5, 100)[0]


def test_a_gallery_without_videos_has_no_hits() -> None:
    random = np.random.default_rng(2)
    for view in (view_of(0, [], random), view_of(4, [0, 1, 2, 3], random)):
        ranked = ShortlistRanker(SlowScorer(), 5, 7).rank(view, texts(2, random), [3, 3])
        assert [(len(row.rows), len(row.scores)) for row in ranked] == [(0, 0)] * 2


@pytest.mark.parametrize("width", [D, WIDE])
def test_what_is_not_a_number_comes_last(width: int) -> None:
    random = np.random.default_rng(3)
    view = view_of(11, [], random, width)
    means, frames = (view.tensors[name].copy() for name in (MEAN_EMBEDDING, FRAME_EMBEDDINGS))
    means[4] = np.nan
    frames[6] = np.nan
    view = replace(view, tensors={**view.tensors, MEAN_EMBEDDING: means, FRAME_EMBEDDINGS: frames})
    text = texts(1, random, width)
    (all_,) = ShortlistRanker(SlowScorer(), 100, 7).rank(view, text, [11])
    assert (all_.rows[-1], all_.scores[-1]) == (6, -np.inf)
    (most,) = ShortlistRanker(SlowScorer(), 10, 7).rank(view, text, [10])
    assert 4 not in most.rows
    assert sorted(most.rows.tolist()) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_the_size_of_a_block_changes_nothing_but_the_calls() -> None:
    random = np.random.default_rng(4)
    view, text = view_of(60, [7], random), texts(1, random)
    whole, cut = SlowScorer(), SlowScorer()
    (expected,) = ShortlistRanker(whole, 31, 1000).rank(view, text, [9])
    (found,) = ShortlistRanker(cut, 31, 1000, block_bytes=50_000).rank(view, text, [9])
    assert found.rows.tolist() == expected.rows.tolist()
    assert whole.calls == [31]
    assert cut.calls == [11, 11, 9]


def test_the_shortlist_comes_from_the_manifest() -> None:
    manifest = toy_manifest(F, 32, D, scorer="cross_encoder")
    assert shortlist_size(manifest) == 100
    assert shortlist_size(replace(manifest, options={"shortlist": 7})) == 7
    for wrong in (0, -1, 2.5, "5", True, None):
        with pytest.raises(BundleError, match="shortlist is"):
            shortlist_size(replace(manifest, options={"shortlist": wrong}))


def test_a_limit_comes_from_the_manifest_and_patience_from_the_limit() -> None:
    manifest = toy_manifest(F, 32, D, scorer="clip_pooling", attends=False)
    usual = CLIP_POOLING.scan_limit
    assert usual is not None
    assert (scan_limit(manifest), patience_s(manifest)) == (usual, 120.0)
    assert patience_s(replace(manifest, options={"scan_limit": 3 * usual})) == 360.0
    assert patience_s(replace(manifest, options={"scan_limit": 1})) == 120.0
    for wrong in (0, 100_001, "5", True):
        with pytest.raises(BundleError, match="scan_limit is"):
            scan_limit(replace(manifest, options={"scan_limit": wrong}))
    other = replace(manifest, scorer="cross_encoder")
    assert (scan_limit(other), patience_s(other)) == (None, 0.0)


def test_parts_of_a_video_each_hold_the_text_beside_them() -> None:
    text = (TensorSpec("placed_words", "float32", ("queries", 40, 768)),)
    video = TensorSpec("placed_patches", "float32", ("videos", 3, 197, 768))
    manifest = replace(toy_manifest(3, 224, 768, attends=False), scorer="rolled_encoder")
    encoder, scorer = GraphPorts((), (replace(video, dims=("batch", *video.dims[1:])),)), GraphPorts((*text, video), ())
    graphs = {**manifest.graphs, TEXT_ENCODER: GraphPorts((), text), VIDEO_ENCODER: encoder, SCORER: scorer}
    pair = pair_floats(replace(manifest, graphs=graphs))
    assert pair == ROLLED_ENCODER.pair_floats(Sizes(3, 40, 768, 3, 197)) == 36 * 3 * 237 * 768


def test_blocks_follow_what_a_scorer_holds() -> None:
    """At the reference sizes a block has hundreds of videos at least, whatever the scorer."""
    text = TensorSpec("words", "float32", ("queries", 32, 512))
    video = TensorSpec(FRAME_EMBEDDINGS, "float32", ("videos", 12, 512))
    manifest = toy_manifest(12, 224, 512)
    graphs = {
        **manifest.graphs,
        TEXT_ENCODER: GraphPorts(manifest.graphs[TEXT_ENCODER].inputs, (replace(text, dims=("batch", 32, 512)),)),
        SCORER: GraphPorts((text, video), manifest.graphs[SCORER].outputs),
    }
    records = {FRAME_EMBEDDINGS: np.empty((0, 12, 512), np.float16)}

    def rows(scorer: str, queries: int) -> int:
        floats = pair_floats(replace(manifest, scorer=scorer, graphs=graphs))
        return block_rows(records, queries, floats, 128 << 20)

    assert rows("token_frame", 32) == (128 << 20) // (4 * (3 * 12 * 512 + 32 * 7 * 12 * 32))
    names = ("dot", "frame_softmax", "multi_grained", "token_frame", "cross_encoder")
    assert sorted(names, key=lambda name: -rows(name, 1)) == list(names)
    assert min(rows(name, 1) for name in names) > 150
    assert min(rows(name, 32) for name in names[:-1]) > 300
    with pytest.raises(BundleError, match="does not know"):
        pair_floats(replace(manifest, scorer="cosine"))
