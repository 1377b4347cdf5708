"""Both CPU implementations against the published formula in float64, in every storage."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from framesift.kernels import library
from framesift.kernels.topk_attention import cpu, quantise
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors

from .heads import Problem, problem

BUILT = [name for name in library.LIBRARIES if library.library(name) is not None]
SHAPES = [
    (1, 1, 4, 64, 1, 1),
    (2, 35, 1, 64, 1, 1),
    (3, 37, 12, 64, 1, 4),
    (2, 33, 12, 128, 4, 12),
    (9, 50, 7, 192, 2, 3),
    (40, 18, 32, 64, 1, 31),
    (17, 35, 12, 512, 1, 4),
    (8, 16, 13, 1024, 1, 5),
    (33, 21, 5, 256, 4, 1),
]
cached_problem = functools.cache(problem)


@pytest.fixture(params=["numpy", *BUILT])
def impl(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """numpy, and every compiled library that this processor can run."""
    if request.param == "numpy":
        yield "numpy"
        return
    monkeypatch.setattr(library, "LIBRARIES", (request.param,))
    yield "native"


def test_the_compiled_scorer_was_built() -> None:
    # make test installs from a checkout with a compiler; without it the rest would silently test numpy alone.
    assert "avx2" in BUILT


def close(got: npt.NDArray[np.float32], want: Problem, tolerance: float) -> None:
    """Pairs whose K-th and next logits lie closer than rounding may keep another frame: few, and counted."""
    off = np.abs(got - want.scores) > tolerance
    assert off.mean() <= 2e-3, f"{int(off.sum())} of {off.size} pairs differ"
    assert (want.gap[off] < 1e-5).all(), "pairs differ whose kept frames rounding could not swap"
    assert np.isfinite(got).all()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-F{}-D{}-H{}-K{}".format(*s))
def test_scores_are_those_of_the_published_formula(shape: tuple[int, ...], impl: cpu.Implementation) -> None:
    made = cached_problem(*shape)
    got = cpu.score(made.text, made.gallery(), made.shape, impl=impl)
    assert (got.dtype, got.shape) == (np.float32, made.scores.shape)
    close(got, made, 2e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-F{}-D{}-H{}-K{}".format(*s))
def test_attention_is_that_of_the_published_formula_on_each_query_s_own_videos(
    shape: tuple[int, ...], impl: cpu.Implementation
) -> None:
    made = cached_problem(*shape)
    rng = np.random.default_rng()
    rows = np.stack([rng.permutation(shape[1])[: max(1, shape[1] - 1)] for _ in range(shape[0])])
    got = cpu.attention(made.text, made.gallery(), made.shape, rows, impl=impl)
    assert (got.dtype, got.shape) == (np.float32, (*rows.shape, shape[2]))
    np.testing.assert_allclose(got, np.take_along_axis(made.attention, rows[..., None], 1), atol=2e-5)
    for wrong in (rows + 1, rows[0], rows.astype(np.float64)):
        with pytest.raises(ValueError, match="each of"):
            cpu.attention(made.text, made.gallery(), made.shape, wrong, impl=impl)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=lambda s: "Q{}-V{}-F{}-D{}-H{}-K{}".format(*s))
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_storage_is_scored_as_what_it_stands_for(
    shape: tuple[int, ...], storage: str, impl: cpu.Implementation
) -> None:
    made = cached_problem(*shape)
    text, gallery = made.text, made.gallery(np.float16)
    widened = gallery.frames.astype(np.float32)
    if storage == "int8":
        affine = quantise.fit(made.frames)
        text = quantise.fold(text, affine)
        gallery = quantise.quantise(made.frames, made.tables, affine, heads=made.shape.heads)
        sizes = (
            gallery.tables[:, made.shape.rows :].transpose(0, 2, 1).reshape(-1, made.shape.streams, shape[4], shape[2])
        )
        steps = gallery.frames.astype(np.float32).reshape(*gallery.frames.shape[:3], shape[4], -1)
        widened = (steps * sizes[: shape[1]].swapaxes(2, 3)[..., None]).reshape(gallery.frames.shape)
        assert gallery.mean is not None
        widened[:, -1] += gallery.mean.astype(np.float32)[:, None]
        restored = widened[:, -1] * affine.gain[-1] + affine.offset
        assert np.abs(restored - made.frames[:, -1]).max() < 0.05
    table = gallery.tables[:, : made.shape.rows].copy()
    want = cpu.score(text, GalleryVectors(widened, table), made.shape, impl="numpy")
    got = cpu.score(text, gallery, made.shape, impl=impl)
    off = np.abs(got - want) > 4e-6
    assert off.mean() <= 2e-3
    rows = np.tile(np.arange(shape[1]), (shape[0], 1))
    weights = cpu.attention(text, gallery, made.shape, rows, impl=impl)
    expected = cpu.attention(text, GalleryVectors(widened, table), made.shape, rows, impl="numpy")
    off = np.abs(weights - expected).max(2) > 4e-5
    assert off.mean() <= 2e-3


def exact(made: Problem) -> Problem:
    """Vectors of 9 bits, of which 64 products add up exactly: numpy's threads add them in no fixed order."""

    def rounded(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        step = 2.0 ** (np.ceil(np.log2(np.abs(vectors).max())) - 8)
        return (np.round(vectors / step) * step).astype(np.float32)

    text = TextVectors(rounded(made.text.logit), rounded(made.text.readout), made.text.scalars)
    return replace(made, text=text, frames=rounded(made.frames))


@pytest.mark.parametrize("n", [1, 3, 10, 200])
@pytest.mark.parametrize("queries", [1, 5, 40])
def test_the_best_are_a_stable_sort_cut_short(queries: int, n: int, impl: cpu.Implementation) -> None:
    made = exact(cached_problem(queries, 101, 6, 64, 1, 3))
    # The second half repeats the first, so that scores tie; both come from the same block width and position.
    frames, tables = np.tile(made.frames[:48], (2, 1, 1, 1)), np.tile(made.tables[:48], (2, 1))
    gallery = Problem(made.shape, made.text, frames, tables, made.scores, made.attention, made.gap).gallery()
    live = np.random.default_rng(n).random(96) > 0.3
    scores = cpu.score(made.text, gallery, made.shape, impl=impl)
    for alive in (None, live):
        places = np.arange(96) if alive is None else np.flatnonzero(alive)
        order = np.argsort(-scores[:, places], axis=1, kind="stable")[:, :n]
        found, rows = cpu.search(made.text, gallery, made.shape, n, live=alive, impl=impl)
        np.testing.assert_array_equal(rows, places[order])
        np.testing.assert_array_equal(found, np.take_along_axis(scores, rows, 1))


def test_nothing_is_found_where_nothing_is_live(impl: cpu.Implementation) -> None:
    made = cached_problem(3, 37, 12, 64, 1, 4)
    scores, rows = cpu.search(made.text, made.gallery(), made.shape, 5, live=np.zeros(37, np.bool_), impl=impl)
    assert scores.shape == rows.shape == (3, 0)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int) -> None:
    made = cached_problem(9, 200, 12, 64, 1, 4)
    for dtype in (np.float32, np.float16):
        one = cpu.search(made.text, made.gallery(dtype), made.shape, 20, threads=1)
        many = cpu.search(made.text, made.gallery(dtype), made.shape, 20, threads=threads)
        np.testing.assert_array_equal(one[1], many[1])
        np.testing.assert_array_equal(one[0], many[0])


def test_one_query_and_many_give_the_same(impl: cpu.Implementation) -> None:
    made = cached_problem(17, 35, 12, 512, 1, 4)
    many = cpu.score(made.text, made.gallery(np.float16), made.shape, impl=impl)
    for q in range(17):
        text = TextVectors(made.text.logit[q : q + 1], made.text.readout[q : q + 1], made.text.scalars[q : q + 1])
        one = cpu.score(text, made.gallery(np.float16), made.shape, impl=impl)
        np.testing.assert_allclose(one[0], many[q], atol=1e-6)


def test_equal_logits_keep_the_earlier_frame(impl: cpu.Implementation) -> None:
    made = cached_problem(2, 5, 6, 64, 1, 2)
    frames = np.repeat(made.frames[:, :, :1], 6, axis=2)
    tables = made.tables.copy()
    # The first two frames get a form of their own: only if exactly they are kept does it decide alone.
    tables[:] = 0
    i, j = np.triu_indices(6)
    first = (i < 2) & (j < 2)
    tables[:, : 3 * len(i)].reshape(-1, len(i), 3)[:, first] = 1.0
    tables[:, : 3 * len(i)].reshape(-1, len(i), 3)[:, ~first] = 100.0
    gallery = Problem(made.shape, made.text, frames, tables, made.scores, made.attention, made.gap).gallery()
    pooled = made.text.readout @ frames[:, 0, 0].T
    a = 0.5 * 0.5 * 3
    sigma, r = a**0.5, a**0.5
    tau = made.text.scalars[:, :, None]
    norm = a + r * tau[:, 3] * sigma
    want = (pooled + tau[:, 0] + sigma * tau[:, 1] + r * tau[:, 2]) / np.sqrt(np.maximum(norm, 1e-30))
    np.testing.assert_allclose(cpu.score(made.text, gallery, made.shape, impl=impl), want, rtol=1e-4)


def overlap(got: npt.NDArray[np.int64], want: npt.NDArray[np.int64]) -> float:
    return sum(len(set(a) & set(b)) for a, b in zip(got, want, strict=True)) / want.size


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "top_k", "spread"), [(1, 4, 0.5), (4, 4, 0.0)])
def test_low_precision_ranks_as_float64_does(heads: int, top_k: int, spread: float) -> None:
    """Overlaps of the ten best, over galleries enough that one draw doesn't decide."""
    found: list[tuple[float, float]] = []
    for seed in range(4):
        made = problem(50, 300, 12, 512, heads, top_k, spread, seed=seed)
        best = np.argsort(-made.scores, axis=1, kind="stable")[:, :10]
        _, half = cpu.search(made.text, made.gallery(np.float16), made.shape, 10)
        affine = quantise.fit(made.frames)
        small = quantise.quantise(made.frames, made.tables, affine, heads=heads)
        text = quantise.fold(made.text, affine)
        _, eighth = cpu.search(text, small, made.shape, 10)
        found.append((overlap(half, best), overlap(eighth, best)))
    float16, int8 = np.mean(found, axis=0)
    assert float16 >= 0.998
    assert int8 >= 0.985


GOOD = cached_problem(3, 37, 12, 64, 1, 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda t: TextVectors(np.full_like(t.logit, np.nan), t.readout, t.scalars), "NaN or infinity"),
        (lambda t: TextVectors(t.logit[:0], t.readout[:0], t.scalars[:0]), "at least one query"),
        (lambda t: TextVectors(t.logit, t.readout[:, :8], t.scalars), "readout vectors are float32"),
        (lambda t: TextVectors(np.asfortranarray(t.logit), t.readout, t.scalars), "not contiguous"),
        (lambda t: TextVectors(t.logit.astype(np.float64), t.readout, t.scalars), "float64"),
    ],
)
def test_bad_queries_are_refused(make, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(GOOD.text)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f, t: GalleryVectors(f[:0], t), "at least one video"),
        (lambda f, t: GalleryVectors(f.astype(np.float64), t), "must be float32, float16 or int8"),
        (lambda f, t: GalleryVectors(f[:, :, ::2], t), "not contiguous"),
        (lambda f, t: GalleryVectors(f, t[:1]), "need 3 blocks"),
        (lambda f, t: GalleryVectors(f.astype(np.int8), t), "come with a mean"),
    ],
)
def test_bad_galleries_are_refused(make, said: str) -> None:
    gallery = GOOD.gallery()
    with pytest.raises(ValueError, match=said):
        make(gallery.frames, gallery.tables)


def test_a_video_that_is_not_finite_is_named() -> None:
    gallery = GOOD.gallery()
    gallery.check_finite()
    gallery.tables[2, 5, 3] = np.inf
    with pytest.raises(ValueError, match="table of video 35"):
        gallery.check_finite()
    gallery.frames[4, 0, 1, 2] = np.nan
    with pytest.raises(ValueError, match="frame vectors of video 4"):
        gallery.check_finite()


def test_what_does_not_belong_together_is_refused() -> None:
    gallery = GOOD.gallery()
    for shape in (HeadShape(12, 64, 4, 2), HeadShape(11, 64, 4), HeadShape(12, 32, 4)):
        with pytest.raises(ValueError, match="the scorer takes"):
            cpu.score(GOOD.text, gallery, shape)
    with pytest.raises(ValueError, match="n is 0"):
        cpu.search(GOOD.text, gallery, GOOD.shape, 0)
    with pytest.raises(ValueError, match="live is"):
        cpu.search(GOOD.text, gallery, GOOD.shape, 1, live=np.ones(3, np.bool_))
    odd = cached_problem(2, 3, 3, 40, 1, 2)
    with pytest.raises(ValueError, match="compiled scorer can't run"):
        cpu.score(odd.text, odd.gallery(), odd.shape, impl="native")
    close(cpu.score(odd.text, odd.gallery(), odd.shape), odd, 2e-6)
