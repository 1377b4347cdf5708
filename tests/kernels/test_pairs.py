"""The compiled scans of plain vectors against their references in float64, from the storage that they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from framesift.kernels import library
from framesift.kernels.dot import cpu as dot_cpu
from framesift.kernels.dot.reference import dot
from framesift.kernels.frame_softmax import cpu as frame_softmax_cpu
from framesift.kernels.frame_softmax.reference import frame_softmax, frame_softmax_weights
from framesift.kernels.library import Library
from framesift.kernels.multi_grained import cpu as multi_grained_cpu
from framesift.kernels.multi_grained.reference import Matrices, TextRecord, VideoRecord, multi_grained
from framesift.kernels.pairs import PairsScan, available
from framesift.kernels.token_frame import cpu as token_frame_cpu
from framesift.kernels.token_frame.reference import token_frame
from framesift.kernels.weighed_experts import cpu as weighed_experts_cpu
from framesift.kernels.weighed_experts.reference import weighed_experts

Floats = npt.NDArray[Any]
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
BUILT = [name for name in library.LIBRARIES if library.library(name) is not None]


class Problem:
    """Records that resemble one another, as those of real videos do, and a scorer's scan and reference."""

    def __init__(
        self, queries: int, videos: int, words: int, frames: int, width: int, dtype: Any, seed: int = 0
    ) -> None:
        rng = np.random.default_rng([seed, queries, videos, words, frames, width])

        def unit(*shape: int) -> Floats:
            x = rng.standard_normal((*shape, width)) + 2 * rng.standard_normal(width)
            return x / np.linalg.norm(x, axis=-1, keepdims=True)

        self.words = unit(queries, words).astype(np.float32)
        self.sentence = unit(queries).astype(np.float32)
        self.frames, self.video = unit(videos, frames).astype(dtype), unit(videos).astype(dtype)
        self.mask = (rng.random((videos, frames)) < 0.7).astype(dtype)
        self.mask[np.arange(videos), rng.integers(frames, size=videos)] = 1
        # Some texts end early, some are empty.
        self.short = self.words * (np.arange(words) < rng.integers(0, words + 1, (queries, 1)))[..., None]
        # Experts that a video lacks have no vector.
        self.experts = 16 if width == 16 else 4
        self.logits = 2 * rng.standard_normal((queries, self.experts)).astype(np.float32)
        self.present = (rng.random((videos, self.experts)) < 0.6).astype(dtype)
        self.present[np.arange(videos), rng.integers(self.experts, size=videos)] = 1
        self.mix = (np.eye(width) + 0.1 * rng.standard_normal((width, width)) / width**0.5).astype(np.float32)
        sizes = (words, frames, words, frames, frames, words)
        self.matrices = [(np.eye(n) + 0.2 * rng.standard_normal((n, n)) / n).astype(np.float32) for n in sizes]

    def scan(self, name: str) -> PairsScan:
        if name == "dot":
            return dot_cpu.scan(self.sentence, self.video)
        if name == "weighed_experts":
            return weighed_experts_cpu.scan(self.sentence, self.logits, self.video, self.present)
        if name == "frame_softmax":
            return frame_softmax_cpu.scan(100 * self.sentence, self.frames, self.mask)
        if name == "token_frame":
            return token_frame_cpu.scan(self.short, self.frames, 100.0)
        texts = multi_grained_cpu.Texts(self.sentence, self.sentence @ self.mix, self.words, self.words @ self.mix)
        weights = multi_grained_cpu.Weights(*self.matrices, scale=20.0)
        return multi_grained_cpu.scan(texts, self.video, self.frames, weights)

    def reference(self, name: str) -> Floats:
        def wide(x: Floats) -> torch.Tensor:
            return torch.from_numpy(np.asarray(x, np.float64))

        if name == "dot":
            return dot(wide(self.sentence), wide(self.video)).numpy()
        if name == "weighed_experts":
            return weighed_experts(*map(wide, (self.sentence, self.logits, self.video, self.present))).numpy()
        if name == "frame_softmax":
            return frame_softmax(wide(100 * self.sentence), wide(self.frames), wide(self.mask)).numpy()
        if name == "token_frame":
            return token_frame(wide(self.short), wide(self.frames)).numpy()
        text = TextRecord(*map(wide, (self.sentence, self.sentence @ self.mix, self.words, self.words @ self.mix)))
        video = VideoRecord(wide(self.video), wide(self.frames))
        return multi_grained(text, video, Matrices(*map(wide, self.matrices)), torch.tensor(20.0)).numpy()


# Largest error over the largest score: of float32 sums, which multi_grained's and token_frame's softmaxes sharpen a
# hundredfold.
TOLERANCE = {"dot": 2e-6, "weighed_experts": 2e-6, "frame_softmax": 2e-6, "multi_grained": 2e-5, "token_frame": 2e-5}


@pytest.fixture(params=BUILT)
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Every compiled library that this processor can run; what numpy makes empty is filled with NaN."""
    monkeypatch.setattr(library, "LIBRARIES", (request.param,))
    monkeypatch.setattr(np, "empty", poisoned)
    chosen = available(16)
    assert chosen is not None
    return chosen


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
