"""What the proof allows a GPU to be off: against tensor cores and float32 forms that are as bad as they may be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from framesift.kernels.topk_attention.biases import Biases
from framesift.kernels.topk_attention.certified import device_columns as of
from framesift.kernels.topk_attention.certified.device_rounding import as_read, queries, rounding, videos
from framesift.kernels.topk_attention.certified.encode import encode
from framesift.kernels.topk_attention.certified.records import LONGEST
from framesift.kernels.topk_attention.certified.turn import turned
from framesift.kernels.topk_attention.layout import HeadShape, upper_triangle
from framesift.kernels.topk_attention.operands import TextVectors

from .test_certified import Made
from .test_certified_bound import CASES, Case

Doubles = npt.NDArray[np.float64]


def tensor_core(a: Doubles, b: Doubles, block: int) -> Doubles:
    """Sums [N] of products of float16 values [N, D], ``block`` at a time: all cut off at the largest one's last place.

    The model of Fasi et al., without the bits more that newer GPUs keep.
    """
    total = np.zeros(len(a))
    for start in range(0, a.shape[1], block):
        part = slice(start, start + block)
        addends = np.concatenate([total[:, None], a[:, part] * b[:, part]], axis=1)
        largest = np.abs(addends).max(1, keepdims=True)
        place = 2.0 ** (np.floor(np.log2(np.maximum(largest, 1e-300))) - 23)
        total = (np.trunc(addends / place) * place).sum(1)
        own = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(total), 1e-300))) - 23)
        total = np.trunc(total / own) * own
    return total


@pytest.mark.parametrize("block", [4, 8, 16])
@pytest.mark.parametrize("width", [64, 512])
def test_products_of_tensor_cores_are_within_the_allowance(block: int, width: int) -> None:
    values = np.random.default_rng(block * width)
    shape, worst = HeadShape(12, width, 4), 0.0
    for kind in range(4):
        a, b = values.standard_normal((2, 400, width))
        if kind == 1:
            # All of one sign, so that every step cuts off in the same direction.
            a, b = np.abs(a), np.abs(b)
        elif kind == 2:
            # A large product first, whose last place the others fall behind.
            a, b = np.abs(a) * 1e-2, np.abs(b) * 1e-2
            a[:, 0], b[:, 0] = 20, 20
        elif kind == 3:
            a[:, 1::2], b[:, 1::2] = -a[:, ::2], b[:, ::2]
        a, b = (x.astype(np.float16).astype(np.float64) for x in (a, b))
        b *= LONGEST * width**0.5 / np.linalg.norm(b, axis=1, keepdims=True)
        b = b.astype(np.float16).astype(np.float64)
        off = np.abs(tensor_core(a, b, block) - (a * b).sum(1))
        worst = max(worst, float((off / (np.linalg.norm(a, axis=1) * rounding(shape))).max()))
    # It is a bound of the worst case, and such cases come near it.
    assert 0.02 < worst < 1


@pytest.mark.parametrize("kind", CASES[:7])
def test_forms_in_float32_lose_no_more_than_is_allowed(kind: tuple[float, ...]) -> None:
    case = Case(kind, 60)
    shape, count, biases = case.shape, case.shape.frames, case.biases
    tables = case.tables.astype(np.float32)
    # Frames that cancel one another, nearly.
    tables[::3, : 3 * shape.triangle] *= np.where(np.arange(3 * shape.triangle) % 2, -1, 1).astype(np.float32)
    side = encode(case.frames.astype(np.float16)[:, None], tables, shape, biases)[1]
    told = videos(side, tables, shape, biases)[:, 2 * count :]
    bounded = told[:, of.ROOT_OFF] < 1e14
    assert bounded[1::3].all()
    values = np.random.default_rng(0)
    for _ in range(40):
        weights = values.random(count) ** 4 * (values.random(count) < 0.7)
        weights = (weights / max(weights.sum(), 1e-9) if weights.any() else np.eye(count)[0]).astype(np.float32)
        # What the weights add up to is part of a score, so they are exact here.
        wide = weights.astype(np.float64) / weights.astype(np.float64).sum()
        exact, found = _scales(tables.astype(np.float64), wide, shape, biases), _scales(tables, weights, shape, biases)
        for place, column in enumerate((of.SIGMA_LOST, of.R_LOST, of.ROOT_LOST)):
            square = exact[place]
            fine = bounded & (square > 0) & np.isfinite(found[place])
            off = np.abs(np.sqrt(np.maximum(found[place], 0).astype(np.float64)) - np.sqrt(np.maximum(square, 0)))
            assert (off[fine] <= told[fine, column]).all()


def _scales(tables: npt.NDArray, weights: npt.NDArray, shape: HeadShape, biases: Biases) -> list[npt.NDArray]:
    """Squares of sigma, r and sqrt(e) [V] each, in the dtype of ``tables``, a product and a sum at a time."""
    kind, count = tables.dtype.type, shape.frames
    i, j, _ = upper_triangle(count)
    pairs = (weights[i] * weights[j]).astype(tables.dtype)
    square, linear = np.zeros((3, len(tables)), tables.dtype), np.zeros((3, len(tables)), tables.dtype)
    for row in range(shape.triangle):
        square += tables[:, 3 * row : 3 * row + 3].T * pairs[row]
    for row in range(count):
        at = 3 * (shape.triangle + row)
        linear += tables[:, at : at + 3].T * weights[row].astype(tables.dtype)
    tiny, kappa = kind(1e-30), kind(biases.kappa)
    sigma = np.sqrt(np.maximum(square[0], tiny))
    r2 = square[1] + sigma * linear[0]
    r = np.sqrt(np.maximum(r2, tiny))
    return [square[0], r2, square[2] + sigma * linear[1] + r * (linear[2] + kappa * sigma)]


def test_integers_stand_for_the_text_that_the_kernel_has() -> None:
    case = Made(5, 64, 2, 60)
    for parts, count in ((2, 8), (1, 17)):
        text = case.some(count)
        logit, readout, told = queries(text, parts, case.shape, case.biases)
        assert logit.shape == readout.shape == (-(-count // 8) * 16, 64)
        for integers, place, vectors in ((logit, 0, text.logit), (readout, 1, text.readout)):
            tiles = integers.astype(np.int64).reshape(-1, 2, 8, 64)
            whole = (256 * tiles[:, 0] + tiles[:, 1]).reshape(-1, 64)[:count]
            wide = turned(as_read(vectors, parts))
            off = np.abs(wide - whole * told[:, of.SCALE + place, None])
            assert (127 * off.sum(1) <= told[:, of.SLACK + place]).all()
            assert (np.linalg.norm(wide, axis=1) <= told[:, of.NORM + place]).all()
            # No sum of 127 steps each leaves 32 bits.
            assert (np.abs(whole).sum(1) * 127 < 2**31).all()
            # With what rounding cut off there are twice as many bits.
            near = np.abs(as_read(vectors, parts) - vectors).max() / np.abs(vectors).max()
            assert near < (2.0**-21 if parts == 2 else 2.0**-11)


def test_a_video_whose_numbers_are_none_has_no_bound() -> None:
    case = Made(5, 64, 2, 60)
    side, tables = case.side.copy(), case.tables.copy()
    side[3, 7], tables[4, 11] = np.nan, np.inf
    told = videos(side, tables, case.shape, case.biases)
    assert np.isfinite(told).all()
    assert (told[:, 10 + of.ROOT_OFF] > 1e14).nonzero()[0].tolist() == [3, 4]


def test_texts_that_make_no_bound_are_not_asked() -> None:
    text = TextVectors(np.zeros((1, 64), np.float32), np.zeros((1, 64), np.float32), np.zeros((1, 4), np.float32))
    _, _, told = queries(text, 2, HeadShape(5, 64, 2), Biases(0.0, 0.0, 0.0, 0.0))
    assert np.isfinite(told).all()
