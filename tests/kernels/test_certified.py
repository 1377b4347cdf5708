"""The certified search against the float16 search: rows, order and scores to the bit, by both ways of multiplying."""

from __future__ import annotations

import functools
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from framesift.kernels import library
from framesift.kernels.topk_attention import cpu
from framesift.kernels.topk_attention.biases import Biases
from framesift.kernels.topk_attention.certified.encode import encode
from framesift.kernels.topk_attention.certified.native import integers
from framesift.kernels.topk_attention.certified.records import StepVectors
from framesift.kernels.topk_attention.certified.search import Found, search
from framesift.kernels.topk_attention.certified.turn import turned
from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors

from .heads import random_head

# The libraries that this processor runs, and whether they make products in integers.
WAYS = [
    (name, whole)
    for name in library.LIBRARIES
    if (found := library.library(name)) is not None
    for whole in ((False, True) if integers(found) else (False,))
]
# Frames, width, K.
SHAPES = [(12, 64, 4), (12, 64, 12), (12, 128, 1), (5, 192, 2), (1, 64, 1), (13, 48, 4)]


class Made:
    """A gallery of clustered videos in both storages, and texts about some of them."""

    def __init__(self, frames: int, width: int, top: int, videos: int = 400, spread: float = 0.1) -> None:
        torch.manual_seed(frames * width + top)
        folded = FactorisedHead(random_head(width, 1, top, spread), frames)
        scene = torch.randn(20, width)[torch.randint(20, (videos,))] + 0.7 * torch.randn(videos, width)
        clips = scene[:, None] + 0.4 * torch.randn(videos, frames, width)
        # The same video again and again, in other blocks of 16: its scores tie.
        clips[::13] = clips[1]
        text = scene[: 2 * 20 : 2] + 0.5 * torch.randn(20, width)
        text[0] = clips[1].mean(0)
        with torch.no_grad():
            self.text = TextVectors(*(part.contiguous().numpy() for part in folded.encode_text(text)))
            vectors, tables = folded.encode_video(clips)
        self.shape: HeadShape = folded.shape
        self.biases = Biases(*map(float, folded.biases))
        self.frames, self.tables = vectors.numpy().astype(np.float16), tables.numpy()
        self.steps, self.side = encode(self.frames, self.tables, self.shape, self.biases)

    @property
    def gallery(self) -> GalleryVectors:
        return GalleryVectors(self.frames, pack_tables(self.tables))

    def part(self, videos: int) -> Made:
        """The first so many videos."""
        other = copy(self)
        for name in ("frames", "tables", "steps", "side"):
            setattr(other, name, getattr(self, name)[:videos].copy())
        return other

    def some(self, count: int) -> TextVectors:
        return TextVectors(self.text.logit[:count], self.text.readout[:count], self.text.scalars[:count])

    def find(self, text: TextVectors, n: int, **how: Any) -> Found:
        steps = StepVectors(self.steps, pack_tables(self.side))
        return search(text, self.gallery, steps, self.shape, self.biases, n, **how)

    def agree(self, text: TextVectors, n: int, **how: Any) -> npt.NDArray[np.int64]:
        """How many were scored, once it is sure that both searches find the same."""
        found = self.find(text, n, **how)
        how.pop("products", None)
        scores, rows = cpu.search(text, self.gallery, self.shape, n, **how)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(found.scores.view(np.int32), scores.view(np.int32))
        return found.rescored


made = functools.cache(Made)


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'integers' if way[1] else 'floats'}")
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether products are integers, with each compiled library in turn."""
    name: str = request.param[0]
    whole: bool = request.param[1]
    monkeypatch.setattr(library, "LIBRARIES", (name,))
    return whole


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "F{}-D{}-K{}".format(*s))
def test_it_finds_what_the_float16_search_finds(shape: tuple[int, int, int], products: bool) -> None:
    one, products = made(*shape), products and shape[1] % 64 == 0
    for count in (1, 3, 20):
        for n in (1, 10, 50):
            rescored = one.agree(one.some(count), n, products=products, threads=2)
            assert (rescored >= n).all()
    assert one.agree(one.some(1), 1, products=products).max() < 100


@pytest.mark.parametrize("videos", [1, 2, 15, 16, 17, 40])
def test_small_galleries(videos: int, products: bool) -> None:
    one = made(12, 64, 4).part(videos)
    for n in (1, 5, 100):
        one.agree(one.some(2), n, products=products)


def test_removed_videos_and_lists_of_rows(products: bool) -> None:
    one, values = made(12, 64, 4), np.random.default_rng(4)
    for share in (0.05, 0.6, 0.97):
        live = values.random(400) > share
        one.agree(one.some(3), 7, live=live, products=products)
        one.agree(one.some(9), 3, live=live, rows=np.sort(values.permutation(400)[:200]), products=products)
    one.agree(one.some(2), 4, rows=values.permutation(400)[:60], products=products)
    assert one.find(one.some(2), 5, live=np.zeros(400, np.bool_)).rows.shape == (2, 0)


def test_threads_change_nothing() -> None:
    one = made(12, 64, 4, 3000)
    for threads in (1, 2, 3):
        one.agree(one.some(2), 20, threads=threads)


def test_what_is_no_number_or_no_record_of_a_model_is_scored_like_the_others(products: bool) -> None:
    one = made(12, 64, 4)
    spoilt = copy(one)
    frames, tables = one.frames.copy(), one.tables.copy()
    frames[3, 0, 2, 5], frames[40] = np.nan, np.inf
    tables[77], tables[78, 5], tables[79], tables[80] = 0, np.nan, np.inf, -tables[80]
    frames[90] *= 4
    frames[91] = 0
    spoilt.frames, spoilt.tables = frames, tables
    spoilt.steps, spoilt.side = encode(frames, tables, one.shape, one.biases)
    for n in (1, 10, 90):
        spoilt.agree(one.some(3), n, products=products)
        # All of them, those without a score last.
        spoilt.agree(one.some(1), 400, products=products)


def test_texts_that_no_model_makes_are_answered_like_the_others(products: bool) -> None:
    one = made(12, 64, 4)
    text = one.some(2)
    for factor in (0.0, 1e-20, 1e4, 1e20, -1.0):
        for odd in (
            replace(text, logit=text.logit * np.float32(factor)),
            replace(text, readout=text.readout * np.float32(factor)),
            replace(text, scalars=text.scalars * np.float32(factor)),
        ):
            one.agree(odd, 5, products=products)


def hidden(one: Made, share: float) -> Made:
    """The gallery with errors of one text's products that hide what it looks for; the sides tell a share of them."""
    text, count = one.text.only(3), one.shape.frames
    u, w = (turned(part.astype(np.float64))[0] for part in (text.logit, text.readout))
    exact = turned(one.frames[:, 0].astype(np.float64))
    scores = cpu.score(text, one.gallery, one.shape)[0].astype(np.float64)
    side = one.side.astype(np.float64)
    level = exact @ w + text.scalars[0, 0] - scores[:, None] * side[:, 4 * count : 5 * count]
    along = level[..., None] * u + w
    wanted = exact - 0.3 * along / np.linalg.norm(along, axis=-1, keepdims=True)
    whole = one.steps.astype(np.float64) - 128
    mean = whole[:, -1] * side[:, 5 * count, None]
    sizes = np.abs(wanted - mean[:, None]).max(-1) / 127
    whole[:, :-1] = np.rint((wanted - mean[:, None]) / sizes[..., None])
    side[:, :count] = sizes
    stored = whole[:, :-1] * side[:, :count, None].astype(np.float32) + mean[:, None]
    side[:, count : 2 * count] = share * 1.00001 * np.linalg.norm(exact - stored, axis=-1)
    other = copy(one)
    other.steps, other.side = (whole + 128).astype(np.uint8), side.astype(np.float32)
    return other


def test_errors_that_are_made_to_hide_the_best_hide_none(products: bool) -> None:
    one = made(12, 64, 4, 3000)
    told = hidden(one, 1.0)
    for n in (1, 10, 100):
        told.agree(one.text.only(3), n, products=products)


def test_half_of_an_error_would_not_do(products: bool) -> None:
    # So the test above can fail.
    one = made(12, 64, 4, 3000)
    half = hidden(one, 0.5)
    rows = cpu.search(one.text.only(3), one.gallery, one.shape, 200)[1]
    # One thread knows the threshold that the last videos have to reach.
    found = half.find(one.text.only(3), 200, threads=1, products=products)
    assert not np.array_equal(found.rows, rows)


def test_what_does_not_belong_together_is_refused() -> None:
    one, other = made(12, 64, 4), made(5, 192, 2)
    steps = StepVectors(one.steps, pack_tables(one.side))
    with pytest.raises(ValueError, match="steps are"):
        search(other.some(1), other.gallery, steps, other.shape, one.biases, 3)
    with pytest.raises(ValueError, match="one head, not 2"):
        search(one.some(1), one.gallery, steps, HeadShape(12, 64, 4, 2), one.biases, 3)
    with pytest.raises(ValueError, match="the side of 400 videos"):
        StepVectors(one.steps, pack_tables(one.side)[:3])
    with pytest.raises(ValueError, match="steps are uint16"):
        StepVectors(one.steps.astype(np.uint16), pack_tables(one.side))
    with pytest.raises(ValueError, match="n is 0"):
        search(one.some(1), one.gallery, steps, one.shape, one.biases, 0)
