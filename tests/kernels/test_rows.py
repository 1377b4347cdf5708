"""Scores of a list of rows: those of the full scan, and nothing else is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from framesift.kernels import library
from framesift.kernels.topk_attention import cpu, quantise
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors
from framesift.kernels.walk import ascending

from .heads import Problem, problem

VIDEOS = 101
LISTS = {
    "one": [37],
    "the last block": [100, 96, 99],
    "a whole block": list(range(16, 32)),
    "across blocks": [95, 3, 80, 4, 15, 16, 47, 48],
    "twice": [5, 90, 5, 5, 2],
    "all": list(range(VIDEOS)),
    "all, backwards": list(range(VIDEOS))[::-1],
    "none": [],
}
# Queries, frames, width, heads, K: a lane is a video, and a lane is a query.
SHAPES = [(1, 12, 64, 1, 4), (3, 13, 128, 1, 13), (2, 5, 256, 4, 2), (8, 12, 64, 1, 12), (37, 6, 64, 2, 3)]
BUILT = [name for name in library.LIBRARIES if library.library(name) is not None]


def made(queries: int, frames: int, width: int, heads: int, top_k: int) -> Problem:
    return problem(queries, VIDEOS, frames, width, heads, top_k, seed=frames)


def stored(given: Problem, storage: str) -> tuple[TextVectors, GalleryVectors]:
    if storage != "int8":
        return given.text, given.gallery(np.dtype(storage))
    affine = quantise.fit(given.frames)
    gallery = quantise.quantise(given.frames, given.tables, affine, heads=given.shape.heads)
    return quantise.fold(given.text, affine), gallery


def poisoned(shape: Any, dtype: Any = float, **_: Any) -> npt.NDArray[Any]:
    return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else -7, dtype)


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-F{}-D{}-H{}-K{}".format(*s))
@pytest.mark.parametrize("name", BUILT)
def test_rows_have_the_scores_of_the_full_scan_to_the_bit(
    name: str, shape: tuple[int, ...], storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "LIBRARIES", (name,))
    given = made(*shape)
    text, gallery = stored(given, storage)
    whole = cpu.score(text, gallery, given.shape, impl="native")
    monkeypatch.setattr(np, "empty", poisoned)
    for case, rows in LISTS.items():
        wanted = np.array(rows, np.int64)
        for threads in (1, 3):
            got = cpu.score(text, gallery, given.shape, rows=wanted, threads=threads, impl="native")
            np.testing.assert_array_equal(got, whole[:, wanted], err_msg=case)


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(1, 12, 64, 1, 4), (7, 6, 64, 1, 1), (3, 13, 64, 1, 13), (2, 8, 64, 4, 2)], ids=str)
@pytest.mark.parametrize("name", BUILT)
def test_rows_far_apart_have_the_scores_of_the_full_scan_to_the_bit(
    name: str, shape: tuple[int, ...], storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "LIBRARIES", (name,))
    queries, frames, width, heads, top_k = shape
    given = problem(queries, 1200, frames, width, heads, top_k, seed=frames)
    text, gallery = stored(given, storage)
    whole = cpu.score(text, gallery, given.shape, impl="native")
    rng = np.random.default_rng(frames)
    for count in (1, 15, 16, 17, 33, 200):
        rows = np.sort(rng.choice(1200, count, replace=False))
        live = np.isin(np.arange(1200), rows)
        for threads in (1, 3):
            got = cpu.score(text, gallery, given.shape, rows=rows, threads=threads, impl="native")
            np.testing.assert_array_equal(got, whole[:, rows])
            order = np.argsort(-whole[:, rows], axis=1, kind="stable")[:, :9]
            for asked in ({"rows": rows}, {"live": live}):
                scores, found = cpu.search(text, gallery, given.shape, 9, threads=threads, impl="native", **asked)
                np.testing.assert_array_equal(found, rows[order])
                np.testing.assert_array_equal(scores, np.take_along_axis(whole[:, rows], order, 1))


@pytest.mark.parametrize("impl", ["numpy", "native"])
@pytest.mark.parametrize("queries", [1, 5, 19])
def test_the_best_of_some_rows_are_a_stable_sort_cut_short(queries: int, impl: cpu.Implementation) -> None:
    given = made(queries, 6, 64, 1, 3)
    # The second half repeats the first, so that scores tie.
    frames, tables = np.tile(given.frames[:48], (2, 1, 1, 1)), np.tile(given.tables[:48], (2, 1))
    gallery = Problem(given.shape, given.text, frames, tables, given.scores, given.attention, given.gap).gallery()
    rng = np.random.default_rng(queries)
    whole = cpu.score(given.text, gallery, given.shape, impl=impl)
    for count, n in ((1, 3), (20, 5), (60, 200), (96, 10)):
        rows = rng.permutation(96)[:count]
        live = rng.random(96) > 0.4
        for mask in (None, live):
            kept = np.sort(rows) if mask is None else np.sort(rows[mask[rows]])
            order = np.argsort(-whole[:, kept], axis=1, kind="stable")[:, :n]
            scores, found = cpu.search(given.text, gallery, given.shape, n, rows=rows, live=mask, impl=impl)
            if impl == "native":
                np.testing.assert_array_equal(found, kept[order])
            np.testing.assert_allclose(scores, np.take_along_axis(whole[:, kept], order, 1), atol=1e-6)


@pytest.mark.parametrize("queries", [1, 19])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_what_is_not_asked_for_is_not_read(queries: int, share: float) -> None:
    given = made(queries, 12, 64, 1, 4)
    live = np.random.default_rng(int(100 * share)).random(VIDEOS) < share
    live[50] = True
    rows = np.flatnonzero(live)
    text, whole = given.text, given.gallery(np.float16)
    # Videos left out hold what would win every search.
    frames, tables = whole.frames.copy(), given.tables.copy()
    frames[~live], tables[~live] = 60000.0, 1e-30
    forged = GalleryVectors(frames, Problem(given.shape, text, frames, tables, *[given.scores] * 3).gallery().tables)
    want = cpu.search(text, whole, given.shape, 7, rows=rows)
    for got in (
        cpu.search(text, forged, given.shape, 7, rows=rows),
        cpu.search(text, forged, given.shape, 7, live=live),
        cpu.search(text, whole, given.shape, 7, live=live),
    ):
        for mine, theirs in zip(got, want, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_rows_are_put_in_order_and_told_back() -> None:
    rows = np.array([7, 3, 7, 0], np.int64)
    kept, places = ascending(rows, 8)
    np.testing.assert_array_equal(kept, [0, 3, 7])
    np.testing.assert_array_equal(kept[places], rows)
    assert ascending(kept, 8)[1] is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.array([0, VIDEOS]), f"rows go from 0 to {VIDEOS}, the gallery's from 0 to {VIDEOS - 1}"),
        (np.array([-1, 3]), "rows go from -1"),
        (np.array([[1]]), r"rows are int64 \[1, 1\]"),
        (np.array([1.0]), "rows are float64"),
    ],
)
def test_rows_that_the_gallery_does_not_have_are_refused(rows: npt.NDArray[Any], said: str) -> None:
    given = made(1, 12, 64, 1, 4)
    with pytest.raises(ValueError, match=said):
        cpu.score(given.text, given.gallery(), given.shape, rows=rows)
    with pytest.raises(ValueError, match=said):
        cpu.search(given.text, given.gallery(), given.shape, 3, rows=rows)
