"""The compiled scans of plain vectors against their references in float64, from the storage that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from framesift.kernels import library
from framesift.kernels.frame_softmax import cpu as frame_softmax_cpu
from framesift.kernels.frame_softmax.reference import frame_softmax_weights
from framesift.kernels.library import Library
from framesift.kernels.pairs import available

from .pair_problems import Problem

# Queries, videos, words, frames, width.
SHAPES = [
    (1, 1, 1, 1, 16),
    (1, 37, 32, 12, 64),
    (3, 50, 7, 5, 512),
    (7, 16, 77, 4, 32),
    (8, 33, 17, 13, 64),
    (33, 19, 16, 12, 128),
    (70, 21, 33, 30, 16),
]
IDS = ["Q{}-V{}-W{}-F{}-D{}".format(*shape) for shape in SHAPES]
# Libraries, and whether they multiply by the processor's matrix unit.
WAYS = [
    (name, unit)
    for name in library.LIBRARIES
    if (made := library.library(name)) is not None
    for unit in ((False, True) if made.framesift_matrix_unit(-1) else (False,))
]


# Largest error over the largest score: of float32 sums, which multi_grained's and token_frame's softmaxes sharpen a
# hundredfold.
TOLERANCE = {"dot": 2e-6, "weighed_experts": 2e-6, "frame_softmax": 2e-6, "multi_grained": 2e-5, "token_frame": 2e-5}


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-matrix" if way[1] else way[0])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Every compiled library that this processor can run, with its matrix unit and without; what numpy makes empty is
    filled with NaN.
    """
    name, unit = request.param
    monkeypatch.setattr(library, "LIBRARIES", (name,))
    monkeypatch.setattr(np, "empty", poisoned)
    chosen = available(16)
    assert chosen is not None
    before = chosen.framesift_matrix_unit(-1)
    assert chosen.framesift_matrix_unit(int(unit)) == unit
    yield chosen
    chosen.framesift_matrix_unit(before)


def poisoned(shape: Any, dtype: Any = float, **_: Any) -> npt.NDArray[Any]:
    return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else -7, dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
@pytest.mark.parametrize("name", TOLERANCE)
def test_scores_are_those_of_the_reference(name: str, shape: tuple[int, ...], dtype: Any, found: Library) -> None:
    made = Problem(*shape, dtype)
    want = made.reference(name)
    got = made.scan(name).score(found)
    assert (got.dtype, got.shape) == (np.float32, want.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[name] * np.abs(want).max())


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
@pytest.mark.parametrize("name", TOLERANCE)
def test_rows_and_masks_find_what_the_full_scan_finds(name: str, shape: tuple[int, ...], found: Library) -> None:
    made = Problem(*shape, np.float16)
    scan, rng, videos = made.scan(name), np.random.default_rng(), shape[1]
    whole = scan.score(found)
    for threads in (1, 3):
        rows = rng.integers(videos, size=2 * videos)
        np.testing.assert_array_equal(scan.score(found, rows=rows, threads=threads), whole[:, rows])
        live = rng.random(videos) < 0.5
        live[rng.integers(videos)] = True
        for n in (1, 10, 200):
            for kept in (np.arange(videos), np.flatnonzero(live)):
                order = np.argsort(-whole[:, kept], axis=1, kind="stable")[:, :n]
                mask = None if len(kept) == videos else live
                for given in ({"live": mask}, {"rows": rng.permutation(kept)}):
                    scores, best = scan.search(found, n, threads=threads, **given)
                    np.testing.assert_array_equal(best, kept[order])
                    np.testing.assert_array_equal(scores, np.take_along_axis(whole, best, 1))


@pytest.mark.parametrize("name", TOLERANCE)
def test_equal_videos_come_in_the_order_of_their_rows(name: str, found: Library) -> None:
    made = Problem(2, 40, 9, 6, 32, np.float16)
    for array in (made.frames, made.video, made.mask, made.present):
        array[20:] = array[:20]
    scores, rows = made.scan(name).search(found, 40)
    np.testing.assert_array_equal(scores[:, ::2], scores[:, 1::2])
    np.testing.assert_array_equal(rows[:, ::2] + 20, rows[:, 1::2])


@pytest.mark.parametrize("queries", [1, 9])
@pytest.mark.parametrize("name", TOLERANCE)
def test_what_is_not_a_number_comes_last(name: str, queries: int, found: Library) -> None:
    made = Problem(queries, 20, 9, 6, 32, np.float16)
    made.frames[3], made.video[3], made.frames[7, 2, 5], made.video[7, 4] = np.nan, np.nan, np.nan, np.nan
    scores, rows = made.scan(name).search(found, 20)
    np.testing.assert_array_equal(rows[:, -2:], [[3, 7]] * queries)
    assert np.isneginf(scores[:, -2:]).all()
    assert np.isfinite(scores[:, :-2]).all()


@pytest.mark.parametrize("queries", [1, 9])
def test_a_video_without_a_frame_that_counts_comes_last(queries: int, found: Library) -> None:
    made = Problem(queries, 20, 1, 6, 32, np.float16)
    made.mask[11] = 0
    scores, rows = made.scan("frame_softmax").search(found, 20)
    assert (rows[:, -1] == 11).all()
    assert np.isneginf(scores[:, -1]).all()


def test_weights_of_frames_are_those_of_the_reference() -> None:
    made = Problem(1, 30, 1, 12, 64, np.float16)
    text, frames, mask = (
        torch.from_numpy(np.asarray(x, np.float64)) for x in (100 * made.sentence, made.frames, made.mask)
    )
    got = frame_softmax_cpu.weights(100 * made.sentence[0], made.frames, made.mask)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, frame_softmax_weights(text, frames, mask)[1][0], atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: setattr(m, "video", m.video[:, :16]), "are records of different models|must be"),
        (lambda m: setattr(m, "frames", m.frames.astype(np.float64)), "float64"),
        (lambda m: setattr(m, "frames", np.asfortranarray(m.frames)), "contiguous"),
        (lambda m: setattr(m, "words", m.words[:, :3]), "3 word positions"),
        (lambda m: setattr(m, "sentence", m.sentence[:1]), "sentence is"),
        (lambda m: setattr(m, "video", m.video[:5]), "whole is"),
        (lambda m: setattr(m, "frames", m.frames.astype(np.float32)), "must all be"),
    ],
)
def test_what_does_not_belong_together_is_refused(spoil: Callable[[Problem], None], said: str) -> None:
    made = Problem(2, 20, 9, 6, 32, np.float16)
    spoil(made)
    with pytest.raises(ValueError, match=said):
        made.scan("multi_grained")


def test_sizes_that_the_scans_do_not_take_are_known() -> None:
    assert available(512, 64, 128) is not None
    assert [available(40), available(64, 65), available(64, 1, 129)] == [None] * 3
