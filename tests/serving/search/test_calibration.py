"""Calibrations: what a gallery allows holds for other texts, what it doesn't is refused, and files are checked."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import BundleError, GalleryError, GalleryMismatch, InvalidInput
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.scorers import scorer_of
from framesift.export.bundle.storages import stored
from framesift.serving.gallery.calibration import FILE, Calibration
from framesift.serving.gallery.store import Gallery
from framesift.serving.search import calibrating
from framesift.serving.search.calibrating import Wish, calibrate
from framesift.serving.search.certified_ranking import derived_of
from framesift.serving.search.coarse import coarse_view, stage_of
from framesift.serving.search.coarse_ranking import CoarseRanker, with_coarse
from framesift.serving.search.derived import NOTHING, both
from framesift.serving.search.rankers import ranker_of
from framesift.serving.search.recall import exact_best, measured, needed, places_of
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.topk_ranking import TopKRanker

from .films import biased, cut, films, texts_of, view_of
from .test_certified_ranking import READ, entries
from .test_coarse_ranking import drawn

MADE = Calibration("model-a", 3, 400, "2026-11-29T00:00:00Z", 60, "queries.txt", 10, 0.9, 0.93, 1, 60, 5.0)


def test_what_a_gallery_of_topics_allows_holds_for_other_texts(topk_manifest: Manifest) -> None:
    made = films("clusters", 3000)
    exact, view = TopKRanker(topk_manifest), view_of(made, tuple(range(40)))
    told: list[str] = []
    counted: list[int] = []
    text = texts_of(made, list(range(50, 2050, 25)))
    found = calibrate(topk_manifest, exact, view, text, Wish(0.95, 10), "mine", told.append, counted.append)
    assert (found.fingerprint, found.version, found.videos, found.texts) == ("model-a", 3, 2960, 80)
    assert (found.origin, found.top, found.wished) == ("mine", 10, 0.95)
    assert found.recall >= 0.95
    assert 100 <= found.candidates <= 700
    assert sum(counted) == 80
    assert f"{found.frames} of 5 frames and {found.candidates} candidates" in " ".join(told)
    # Texts that it has not seen.
    stage = stage_of(topk_manifest, exact, found.frames)
    whole, other = (
        coarse_view(view, stage, scorer_of(topk_manifest).lanes),
        texts_of(made, list(range(60, 2900, 29)), 5),
    )
    best = exact_best(exact, whole, other, 10, lambda _: None)
    recall, speed = measured(CoarseRanker(exact, stage, found), whole, other, best)
    assert recall > 0.92
    assert speed > 0


def test_the_recall_of_a_gallery_in_segments_is_of_films(topk_manifest: Manifest) -> None:
    made = films("clusters", 3000)
    exact, view = TopKRanker(topk_manifest), cut(view_of(made), drawn(3000, 2, (1, 1, 2, 4)))
    text = texts_of(made, list(range(0, 3000, 40)))
    found = calibrate(topk_manifest, exact, view, text, Wish(0.95, 10), "mine")
    assert (found.videos, found.recall >= 0.95, found.candidates >= 100) == (3000, True, True)
    stage = stage_of(topk_manifest, exact, found.frames)
    whole = coarse_view(view, stage, scorer_of(topk_manifest).lanes)
    coarse, other = CoarseRanker(exact, stage, found), texts_of(made, list(range(10, 3000, 60)), 5)
    best = exact_best(exact, whole, other, 10, lambda _: None)
    # The films that an exact search of films finds, each once.
    assert best.shape == (50, 10)
    assert all(len(set(view.films(row).tolist())) == 10 for row in best)
    recall, _ = measured(coarse, whole, other, best)
    films_found = [
        np.isin(view.films(wanted), view.films(ranked.rows)).mean()
        for wanted, ranked in zip(best, coarse.rank(whole, other, [10] * 50), strict=True)
    ]
    assert recall == pytest.approx(np.mean(films_found))
    assert recall > 0.92
    # Films of so many segments that those alone are a third of a search.
    with pytest.raises(GalleryError, match=r"candidates with 1,000 segments of the best films.* fewer films.* --top"):
        calibrate(topk_manifest, exact, cut(view_of(made), [100] * 30), text, Wish(0.5, 10), "mine")


def test_a_gallery_of_unrelated_frames_takes_more_candidates_or_is_refused(topk_manifest: Manifest) -> None:
    exact, needs = TopKRanker(topk_manifest), {}
    for kind in ("clusters", "unrelated"):
        made = films(kind, 3000)
        view, text = view_of(made), texts_of(made, list(range(0, 3000, 60)))
        stage = stage_of(topk_manifest, exact, 1)
        whole = coarse_view(view, stage, scorer_of(topk_manifest).lanes)
        best = exact_best(exact, view, text, 10, lambda _: None)
        needs[kind] = needed(places_of(stage, whole, text, best), 0.95)
    assert needs["unrelated"] > 4 * needs["clusters"]
    with pytest.raises(GalleryError, match=r"does not pay here.* 1 of 5 frames and .* candidates.* --recall"):
        calibrate(topk_manifest, exact, view, text, Wish(0.99, 10), "mine")


def test_places_are_those_of_the_coarse_ranking(topk_manifest: Manifest) -> None:
    made = films("clusters", 200)
    made[50:60] = made[3]
    exact, view, text = TopKRanker(topk_manifest), view_of(made, (7,)), texts_of(made, [3, 90])
    stage = stage_of(topk_manifest, exact, 2)
    whole = coarse_view(view, stage, scorer_of(topk_manifest).lanes)
    best = exact_best(exact, whole, text, 5, lambda _: None)
    places, scores, rows = places_of(stage, whole, text, best), stage.scores(whole, text), view.rows().tolist()
    for q in range(2):
        for hit, place in zip(best[q].tolist(), places[q].tolist(), strict=True):
            assert place == (scores[q] >= scores[q, rows.index(hit)]).sum()
            assert hit in stage.best(whole, text, place)[q]


def test_the_fewest_candidates_are_as_sure_as_texts_can_tell() -> None:
    assert needed(np.tile(np.arange(1, 11), (60, 1)), 1.0) == 10
    assert needed(np.tile(np.arange(1, 11), (60, 1)), 0.5) == 5
    # A tenth of the texts takes many more: their share is not known to be a tenth.
    places = np.tile(np.arange(1, 11), (60, 1))
    places[:6] += 500
    assert needed(places, 0.9) > 500
    assert needed(places, 0.8) == 10
    assert needed(np.concatenate([places] * 80), 0.89) == 10


def test_too_few_texts_no_videos_and_wishes_that_can_not_be(topk_manifest: Manifest, manifest: Manifest) -> None:
    made = films("clusters", 300)
    exact, text = TopKRanker(topk_manifest), texts_of(made, list(range(60)))
    few = {name: values[:49] for name, values in text.items()}
    with pytest.raises(InvalidInput, match="49 texts say too little"):
        calibrate(topk_manifest, exact, view_of(made), few, Wish(0.9, 10), "mine")
    with pytest.raises(GalleryError, match="no videos yet"):
        calibrate(topk_manifest, exact, view_of(made[:0]), text, Wish(0.9, 10), "mine")
    # 100 candidates of 120 videos save nothing.
    with pytest.raises(GalleryError, match=r"does not pay here, whatever the recall.* 120 records"):
        calibrate(topk_manifest, exact, view_of(made[:120]), text, Wish(0.5, 10), "mine")
    for recall, top in ((0.0, 10), (1.1, 10), (float("nan"), 10), (0.9, 0)):
        with pytest.raises(InvalidInput, match="can't be"):
            Wish(recall, top)


def test_a_calibration_is_kept_beside_the_table_and_bound_to_model_and_version(tmp_path: Path) -> None:
    assert Calibration.read(tmp_path) is None
    with pytest.raises(GalleryError, match="never calibrated .*framesift gallery calibrate"):
        Calibration.of(tmp_path, "model-a", 3)
    MADE.write(tmp_path)
    replace(MADE, texts=61).write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert Calibration.read(tmp_path) == replace(MADE, texts=61)
    assert Calibration.of(tmp_path, "model-a", 9).texts == 61
    with pytest.raises(GalleryMismatch, match="calibrated with the model model-a, this one is model-b"):
        Calibration.of(tmp_path, "model-b", 9)
    with pytest.raises(GalleryError, match="is at version 2 and was calibrated at 3"):
        Calibration.of(tmp_path, "model-a", 2)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"frames": 0}, {"frames": 1.0}, {"frames": True}, {"frames": 10**6}, {"candidates": 401},
        {"candidates": -1}, {"recall": 1.5}, {"recall": float("inf")}, {"recall": "0.9"}, {"videos": 0}, {"top": 10**6},
        {"origin": "a\nb"}, {"origin": "x" * 300}, {"origin": ""}, {"wished": 0}, {"more": 1}, {"speed": -1.0},
        {"version": 1 << 60},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_is_no_calibration_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"format": 1, **asdict(MADE), **change}))
    with pytest.raises(GalleryError, match="is no calibration .*calibrate it again"):
        Calibration.read(tmp_path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 40000, b"{}" + b" " * (1 << 17)])
def test_a_file_of_something_else_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(text)
    with pytest.raises(GalleryError, match="is no calibration"):
        Calibration.read(tmp_path)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_a_deployment_keeps_averages_of_what_comes_and_goes(
    topk_manifest: Manifest, storage: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating, "_LEAST_CANDIDATES", 20)
    served = stored(biased(topk_manifest), storage, coarse=True)  # type: ignore[arg-type]
    gallery, exact = Gallery.open(folder, served), TopKRanker(served)
    ranker, read = ranker_of(served, folder)
    with pytest.raises(GalleryError, match="never calibrated"):
        with_coarse(served, ranker, NOTHING, gallery)
    assert with_coarse(topk_manifest, ranker, NOTHING, gallery) == (ranker, NOTHING)
    gallery.add(entries(list(range(300))))
    replace(MADE, version=gallery.version, videos=300, candidates=40, frames=2).write(folder)
    coarse, derived = with_coarse(served, ranker, derived_of(served), gallery)
    assert isinstance(coarse, CoarseRanker)
    stage = stage_of(served, ranker, 2)
    assert [*derived.names] == [*derived_of(served).names, *stage.derived.names]
    assert both(derived_of(served), stage.derived).key == derived.key
    text = texts_of(films("clusters", 8), [0, 1, 2])
    lanes = scorer_of(served).lanes
    with Snapshot(gallery.reader(), read, lanes, derived=derived) as snapshot:

        def agree() -> None:
            snapshot.refresh()
            view = snapshot.view
            for found in coarse.rank(view, text, [5, 1, 10]):
                assert not found.exact
                assert not set(found.rows.tolist()) & set(view.dead.tolist())
            plain = replace(view, tensors={name: view.tensors[name] for name in READ})
            made = coarse_view(plain, stage, lanes)
            live = view.rows()
            np.testing.assert_array_equal(
                view.tensors["coarse_frame_vectors"][live], made.tensors["coarse_frame_vectors"][live]
            )
            np.testing.assert_array_equal(stage.best(view, text, 40), stage.best(made, text, 40))
            # Deeper searches are what they were.
            for got, want in zip(coarse.rank(view, text, [300] * 3), exact.rank(view, text, [300] * 3), strict=True):
                np.testing.assert_array_equal(got.rows, want.rows)
                np.testing.assert_array_equal(got.scores, want.scores)
                assert got.exact

        agree()
        gallery.remove([f"v{n}" for n in range(0, 90, 3)])
        gallery.add(entries([*range(1, 90, 3), *range(300, 420)], seed=1))
        agree()
        gallery.remove([f"v{n}" for n in range(90, 200)])
        agree()
    replace(MADE, version=1, frames=5).write(folder)
    with pytest.raises(BundleError, match="coarse stage of 5 of 5 frames"):
        with_coarse(served, ranker, NOTHING, gallery)
