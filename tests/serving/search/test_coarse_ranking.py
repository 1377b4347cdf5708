"""Searches with a coarse stage: of the candidates what the exact ranking finds, to the bit; exact where it can't be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, GRAM_TABLE
from framesift.export.bundle.scorers import scorer_of
from framesift.export.bundle.storages import COARSE, is_coarse, stored
from framesift.kernels.frame_softmax import cpu as frame_softmax
from framesift.kernels.pairs import available
from framesift.kernels.token_frame import cpu as token_frame
from framesift.serving.gallery.calibration import Calibration
from framesift.serving.search.certified_ranking import CertifiedRanker, derived_of
from framesift.serving.search.coarse import coarse_view, stage_of
from framesift.serving.search.coarse_ranking import CoarseRanker
from framesift.serving.search.compiled import CompiledRanker
from framesift.serving.search.films import rank_videos
from framesift.serving.search.ranking import GraphRanker, Ranked, Ranker
from framesift.serving.search.topk_ranking import TopKRanker
from framesift.serving.search.view import View

from ..toy_ports import toy_manifest
from .films import biased, cut, films, texts_of, view_of

PLAN = Calibration("model-a", 3, 400, "2026-11-29T00:00:00Z", 60, "q", 10, 0.9, 0.93, 1, 60, 5.0)


def same(got: Ranked, want: Ranked) -> None:
    np.testing.assert_array_equal(got.rows, want.rows)
    np.testing.assert_array_equal(got.scores, want.scores)
    if got.attention is not None:
        np.testing.assert_array_equal(got.attention, want.attention)


def one(text: dict[str, np.ndarray], q: int) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(values[q : q + 1]) for name, values in text.items()}


def within(view: View, rows: np.ndarray) -> View:
    return replace(view, chosen=np.sort(rows).astype(np.int64), count=len(rows))


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize("queries", [1, 3, 11])
def test_what_is_found_is_the_exact_ranking_of_the_candidates(
    topk_manifest: Manifest, storage: str, frames: int, queries: int
) -> None:
    made = films("clusters", 400)
    # Copies of one film: their scores tie, in both stages.
    made[100:140] = made[7]
    dead = tuple(range(0, 60, 3))
    view, text = view_of(made, dead), texts_of(made, [7 * n for n in range(1, queries + 1)])
    manifest, exact = biased(topk_manifest), TopKRanker(topk_manifest)
    ranker: Ranker = exact
    if storage == "int8":
        manifest = stored(manifest, "int8")
        ranker = CertifiedRanker(manifest)
        steps = derived_of(manifest).make(records(view))
        view = replace(view, tensors={**view.tensors, **laid(steps)})
    stage = stage_of(manifest, ranker, frames)
    view = coarse_view(view, stage, {**scorer_of(manifest).lanes, "side": 16})
    found = CoarseRanker(ranker, stage, PLAN).rank(view, text, [10, 1, 5, 10][:queries] + [3] * (queries - 4))
    scores, rows = stage.scores(view, text), view.rows()
    for q, ranked in enumerate(found):
        best = rows[np.argsort(-scores[q], kind="stable")[:60]]
        assert set(stage.best(view, text, 60)[q].tolist()) == set(best.tolist())
        (want,) = exact.rank(within(view, best), one(text, q), [len(ranked.rows)])
        same(ranked, want)
        assert (ranked.exact, ranked.recall) == (False, 0.93)
        assert ranked.rescored is not None
        assert ranked.rescored <= 60
        assert not set(ranked.rows.tolist()) & set(dead)


def records(view: View) -> dict[str, np.ndarray]:
    from framesift.kernels.lanes import read_rows

    rows = np.arange(len(view.timestamps))
    return {n: read_rows(values, rows) if n == GRAM_TABLE else values for n, values in view.tensors.items()}


def laid(steps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    from framesift.kernels.topk_attention.layout import pack_tables

    return {name: pack_tables(values) if name == "side" else values for name, values in steps.items()}


def test_what_was_not_calibrated_is_exact(topk_manifest: Manifest) -> None:
    made = films("clusters", 400)
    exact = TopKRanker(topk_manifest)
    stage = stage_of(topk_manifest, exact, 1)
    view, text = coarse_view(view_of(made, (5, 9)), stage, scorer_of(topk_manifest).lanes), texts_of(made, [3, 8])
    coarse = CoarseRanker(exact, stage, PLAN)

    def surely(view: View, tops: list[int]) -> None:
        for got, want in zip(coarse.rank(view, text, tops), exact.rank(view, text, tops), strict=True):
            same(got, want)
            assert (got.exact, got.recall, got.rescored) == (True, 1.0, view.count)

    surely(view, [11, 400])
    # A filter, candidates that a search names, and an earlier state of the gallery.
    surely(within(view, np.arange(20, 390)), [10, 10])
    surely(replace(within(view, np.arange(50)), named=True), [10, 10])
    surely(within(view, np.empty(0)), [1, 1])
    # One page after another: the first is of the coarse stage, and later ones miss nothing.
    first, second = coarse.rank(view, text, [10, 11])
    assert (first.exact, second.exact) == (False, True)
    assert coarse.reach(10) == exact.reach(10)
    # The same share of a gallery that has grown, and too small a gallery for two stages.
    assert [PLAN.candidates_of(count) for count in (100, 400, 401, 4000)] == [60, 60, 61, 600]
    small = CoarseRanker(exact, stage, replace(PLAN, candidates=100, videos=100))
    surely_small = small.rank(view, text, [10, 10])
    assert [ranked.exact for ranked in surely_small] == [True, True]
    assert coarse.rank(view_of(made[:0]), text, [1, 1])[0].rows.tolist() == []


def test_records_that_no_model_made_do_not_fill_the_candidates(
    topk_manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    made = films("clusters", 400)
    exact = TopKRanker(topk_manifest)
    stage, view, text = stage_of(topk_manifest, exact, 1), view_of(made), texts_of(made, [3, 8])
    tables = view.tensors[GRAM_TABLE].copy()
    tables[:5] *= 1e-6
    view = coarse_view(
        replace(view, tensors={**view.tensors, GRAM_TABLE: tables}), stage, scorer_of(topk_manifest).lanes
    )
    coarse = CoarseRanker(exact, stage, PLAN)
    for _ in range(2):
        for ranked in coarse.rank(view, text, [10, 10]):
            assert len(ranked.rows) == 10
            assert (ranked.rows >= 80).all()
    assert "is left out" in caplog.text
    # They are known now, and the stage works without them.
    assert not any(ranked.exact for ranked in coarse.rank(view, text, [10, 10]))


def drawn(rows: int, seed: int, sizes: tuple[int, ...] = (1, 1, 2, 4, 9)) -> list[int]:
    """Films' numbers of segments, of so many rows in all."""
    rng, counts = np.random.default_rng(seed), list[int]()
    while (left := rows - sum(counts)) > 0:
        counts.append(min(left, int(rng.choice(sizes))))
    return counts


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_films_are_led_to_by_any_segment_and_found_by_their_best(topk_manifest: Manifest, storage: str) -> None:
    made = films("clusters", 800)
    counts = drawn(800, 3)
    first = np.cumsum([0, *counts])
    dead = tuple(range(first[4], first[7]))
    view, text = cut(view_of(made, dead), counts), texts_of(made, [90 * n for n in range(1, 9)])
    manifest, exact = biased(topk_manifest), TopKRanker(topk_manifest)
    ranker: Ranker = exact
    if storage == "int8":
        manifest = stored(manifest, "int8")
        ranker = CertifiedRanker(manifest)
        view = replace(view, tensors={**view.tensors, **laid(derived_of(manifest).make(records(view)))})
    stage = stage_of(manifest, ranker, 1)
    view = coarse_view(view, stage, {**scorer_of(manifest).lanes, "side": 16})
    coarse, tops = CoarseRanker(ranker, stage, PLAN), [10, 1, 5, 10, 10, 10, 10, 3]
    apart = replace(view, segments=None, counts=None)
    whole = [exact.rank(apart, one(text, q), [view.count])[0] for q in range(8)]
    shares = []
    for ranked, wanted, top in zip(coarse.rank(view, text, tops), whole, tops, strict=True):
        assert (len(ranked.rows), ranked.exact, ranked.recall) == (top, False, 0.93)
        assert not set(ranked.rows.tolist()) & set(dead)
        best: dict[int, int] = {}
        for place, film in enumerate(view.films(wanted.rows).tolist()):
            best.setdefault(film, place)
        found = view.films(ranked.rows).tolist()
        assert len(set(found)) == top
        # Each by its best segment, whichever of them was a candidate, with the score that it has in an exact search.
        places = [best[film] for film in found]
        assert ranked.rows.tolist() == wanted.rows[places].tolist()
        np.testing.assert_array_equal(ranked.scores, wanted.scores[places])
        assert places == sorted(places)
        assert ranked.rescored is not None
        assert ranked.rescored < view.count / 2
        shares.append(np.isin(found, [*best][:top]).mean())
    assert np.mean(shares) > 0.8
    assert [ranked.exact for ranked in coarse.exactly(view, text, tops)] == [True] * 8


def test_candidates_of_too_few_films_are_not_taken_for_all(topk_manifest: Manifest) -> None:
    made = films("clusters", 400)
    exact, counts = TopKRanker(topk_manifest), [100] * 4
    stage = stage_of(topk_manifest, exact, 1)
    view = coarse_view(cut(view_of(made), counts), stage, scorer_of(topk_manifest).lanes)
    text = texts_of(made, [3, 250])
    found = CoarseRanker(exact, stage, replace(PLAN, candidates=2)).rank(view, text, [4, 4])
    for got, want in zip(found, rank_videos(exact, view, text, [4, 4]), strict=True):
        same(got, want)
        assert (got.exact, got.recall, len(got.rows)) == (True, 1.0, 4)


@pytest.mark.parametrize("scorer", ["frame_softmax", "token_frame"])
def test_scorers_of_plain_frames_have_one_too(scorer: str) -> None:
    library = available(16)
    if library is None:
        pytest.skip("no compiled scans here")
    rng = np.random.default_rng(2)
    frames = rng.standard_normal((300, 1, 16)) + 0.4 * rng.standard_normal((300, 4, 16))
    frames = (frames / np.linalg.norm(frames, axis=-1, keepdims=True)).astype(np.float16)
    mask = np.ones((300, 4), np.float16)
    mask[::2, 3:] = 0
    manifest = toy_manifest(4, 8, 16, scorer=scorer)
    if scorer == "frame_softmax":
        text = {"t": rng.standard_normal((3, 16)).astype(np.float32)}
        weighs = lambda t, v: frame_softmax.weights(t["t"][0], v[FRAME_EMBEDDINGS], v[FRAME_MASK])  # noqa: E731
        exact = CompiledRanker(
            library, lambda t, v: frame_softmax.scan(t["t"], v[FRAME_EMBEDDINGS], v[FRAME_MASK]), weighs
        )
        tensors = {FRAME_EMBEDDINGS: frames, FRAME_MASK: mask}
    else:
        text = {"t": rng.standard_normal((3, 6, 16)).astype(np.float32)}
        exact = CompiledRanker(library, lambda t, v: token_frame.scan(t["t"], v[FRAME_EMBEDDINGS], 100.0))
        tensors = {FRAME_EMBEDDINGS: frames}
    view = View(1, 299, [str(n) for n in range(300)], tensors, np.zeros((300, 4), np.float32), np.array([4]))
    for count in (1, 2):
        stage = stage_of(manifest, exact, count)
        whole = coarse_view(view, stage, {})
        means = whole.tensors["coarse_" + FRAME_EMBEDDINGS]
        if count == 1:
            wanted = np.where(mask[..., None] > 0, frames.astype(np.float32), np.nan)
            used = wanted if scorer == "frame_softmax" else frames.astype(np.float32)
            np.testing.assert_allclose(means[:, 0], np.nanmean(used, 1), atol=1e-3)
        found = CoarseRanker(exact, stage, PLAN).rank(whole, text, [10, 3, 7])
        for q, ranked in enumerate(found):
            assert not ranked.exact
            (want,) = exact.rank(within(whole, stage.best(whole, text, 60)[q]), one(text, q), [len(ranked.rows)])
            same(ranked, want)
        hits = exact.rank(view, text, [10] * 3)
        shares = [np.isin(h.rows[:3], f.rows).mean() for h, f in zip(hits, found, strict=True)]
        assert np.mean(shares) > 0.7


def test_a_stage_that_can_not_be_is_refused(topk_manifest: Manifest) -> None:
    for scorer in ("dot", "weighed_experts", "multi_grained", "cross_encoder", "clip_pooling"):
        made = toy_manifest(4, 8, 16, scorer=scorer)
        with pytest.raises(BundleError, match=f"{scorer} can't: .*topk_attention.* Serve this bundle without --coarse"):
            stored(made, "float16", coarse=True)
    with pytest.raises(BundleError, match="this model has one"):
        stored(toy_manifest(1, 8, 16), "float16", coarse=True)
    assert is_coarse(stored(topk_manifest, "float16", coarse=True))
    assert stored(topk_manifest, "float16") is topk_manifest
    assert COARSE not in topk_manifest.options
    with pytest.raises(BundleError, match="needs the compiled scan"):
        stage_of(toy_manifest(4, 8, 16), GraphRanker(None, 4), 1)  # type: ignore[arg-type]
    for frames in (0, 5):
        with pytest.raises(BundleError, match="calibrate the gallery again"):
            stage_of(topk_manifest, TopKRanker(topk_manifest), frames)
