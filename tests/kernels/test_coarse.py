"""Coarse videos: averaged frames have the scores of whole records under weights that are equal within a group."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.kernels.averages import averages
from framesift.kernels.topk_attention import cpu
from framesift.kernels.topk_attention.coarse import coarser, encode
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables, upper_triangle
from framesift.kernels.topk_attention.operands import GalleryVectors

from .heads import Problem, problem

SHAPES = [(12, 64, 1, 4), (13, 64, 1, 13), (5, 64, 2, 2), (6, 128, 4, 6), (7, 64, 1, 1)]


def kept(logits: np.ndarray, top_k: int) -> np.ndarray:
    """The softmax of the ``top_k`` largest along the last axis, of equals the earlier."""
    order = np.argsort(-logits, axis=-1, kind="stable")
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    np.put_along_axis(powers, order[..., top_k:], 0, axis=-1)
    return powers / powers.sum(-1, keepdims=True)


def spread_scores(given: Problem, coarse: HeadShape) -> np.ndarray:
    """Scores [Q, V] in float64 by the whole table, with the attention that averages get, spread over their frames."""
    shape, weights = given.shape, averages(given.shape.frames, coarse.frames).astype(np.float64)
    frames, split = given.frames.astype(np.float64), (shape.heads, shape.width // shape.heads)
    keys = np.einsum("gf,vfhd->vghd", weights, frames[:, 0].reshape(len(frames), shape.frames, *split))
    logits = np.einsum("qhd,vghd->qvhg", given.text.logit.reshape(-1, *split).astype(np.float64), keys)
    a = np.einsum("qvhg,gf->qvhf", kept(logits, coarse.top_k), weights)
    values = frames[:, -1].reshape(len(frames), shape.frames, *split)
    pooled = np.einsum("qvhf,qhd,vfhd->qv", a, given.text.readout.reshape(-1, *split).astype(np.float64), values)
    a = a.reshape(*a.shape[:2], -1)
    i, j, _ = upper_triangle(shape.entries)
    split_at = 3 * shape.triangle
    forms = given.tables[:, :split_at].reshape(len(frames), -1, 3).astype(np.float64)
    linear = given.tables[:, split_at:].reshape(len(frames), -1, 3).astype(np.float64)
    f1, f2, f3 = np.einsum("qvt,vtm->mqv", a[..., i] * a[..., j], forms)
    h2, h3, h4 = np.einsum("qvn,vnm->mqv", a, linear)
    tau = given.text.scalars.astype(np.float64).T[:, :, None]
    sigma = np.sqrt(f1)
    r = np.sqrt(f2 + sigma * h2)
    norm = f3 + sigma * h3 + r * (h4 + tau[3] * sigma)
    return (pooled + tau[0] + sigma * tau[1] + r * tau[2]) / np.sqrt(norm)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "F{}-D{}-H{}-K{}".format(*s))
@pytest.mark.parametrize("impl", ["numpy", "native"])
def test_a_coarse_score_is_that_of_weights_equal_within_a_group(
    shape: tuple[int, int, int, int], impl: cpu.Implementation
) -> None:
    frames, width, heads, top_k = shape
    given = problem(9, 35, frames, width, heads, top_k, seed=frames)
    for count in {1, 2, 3, frames - 1}:
        coarse = coarser(given.shape, count)
        assert coarse.frames == count
        assert coarse.top_k == -(-top_k * count // frames)
        vectors, tables = encode(given.frames.astype(np.float32), given.tables, given.shape, coarse)
        assert vectors.dtype == np.float16
        assert tables.shape == (35, coarse.rows)
        gallery = GalleryVectors(vectors, pack_tables(tables))
        got = cpu.score(given.text, gallery, coarse, impl=impl)
        # The averages are rounded to float16, by which another of two frames that nearly tie may be kept.
        errors = np.abs(got - spread_scores(given, coarse))
        assert np.quantile(errors, 0.98) < 2e-3
        assert errors.mean() < 1e-3


def test_as_many_averages_as_frames_are_the_record_itself() -> None:
    given = problem(3, 17, 6, 64, 2, 3)
    vectors, tables = encode(given.frames, given.tables, given.shape, coarser(given.shape, 6))
    np.testing.assert_array_equal(vectors, given.frames.astype(np.float16))
    np.testing.assert_array_equal(tables, given.tables)


def test_groups_are_neighbours_of_nearly_one_size() -> None:
    np.testing.assert_array_equal(averages(5, 2), np.float32([[1 / 3] * 3 + [0] * 2, [0] * 3 + [0.5] * 2]))
    for frames in range(1, 20):
        for groups in range(1, frames + 1):
            weights = averages(frames, groups)
            np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
            sizes = (weights > 0).sum(1)
            assert ((weights > 0).sum(0) == 1).all()
            assert sizes.max() - sizes.min() <= 1
    for groups in (0, 4):
        with pytest.raises(ValueError, match="3 frames can't be averaged"):
            averages(3, groups)
        with pytest.raises(ValueError, match="3 frames can't be averaged"):
            coarser(HeadShape(3, 64, 2), groups)


def test_numbers_that_are_none_stay_with_their_video() -> None:
    given = problem(2, 20, 12, 64, 1, 4)
    frames = given.frames.astype(np.float16)
    frames[3], frames[5, 0, 0, 0] = np.float16(60000), np.float16(np.nan)
    coarse = coarser(given.shape, 2)
    whole = encode(given.frames.astype(np.float16), given.tables, given.shape, coarse)
    vectors, tables = encode(frames, given.tables, given.shape, coarse)
    others = np.delete(np.arange(20), [3, 5])
    np.testing.assert_array_equal(vectors[others], whole[0][others])
    np.testing.assert_array_equal(tables, whole[1])
