"""The bound of the certified search: no video that reaches a threshold is ever below it, whatever the errors are."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.bench.gallery.bound import CASES, WIDTH, Case, violations, wrong
from framesift.kernels.topk_attention.certified.encode import encode
from framesift.kernels.topk_attention.certified.turn import turned


def ids(case: tuple[float, ...]) -> str:
    return "F{}-K{}-weights{}-biases{}-apart{}".format(*case)


@pytest.mark.parametrize("kind", CASES, ids=ids)
def test_errors_that_are_made_to_hide_a_score_never_do(kind: tuple[float, ...]) -> None:
    assert wrong(Case(kind, 300), 1.0, 1) == 0


def test_the_bound_has_no_room_to_give_away() -> None:
    # Half of the errors would not do: so the tests above could fail.
    assert wrong(Case(CASES[1], 300), 0.5, 1) > 300
    assert wrong(Case(CASES[5], 300), 0.5, 1) > 300


@pytest.mark.parametrize("kind", CASES, ids=ids)
def test_what_is_stored_bounds_what_was_rounded(kind: tuple[float, ...]) -> None:
    case = Case(kind, 100)
    half = case.record[0].numpy().astype(np.float16)
    steps, side = encode(half, case.tables.astype(np.float32), case.shape, case.biases)
    count, wide = case.shape.frames, side.astype(np.float64)
    whole = steps.astype(np.float64) - 128
    mean = whole[:, -1] * wide[:, 5 * count, None]
    stored = whole[:, :-1] * wide[:, :count, None] + mean[:, None]
    off = np.linalg.norm(turned(half[:, 0].astype(np.float64)) - stored, axis=-1)
    assert (off <= wide[:, count : 2 * count]).all()
    assert np.abs(whole).max() <= 127
    if kind[-1]:
        assert (off >= 0.9 * wide[:, count : 2 * count]).mean() > 0.9
        assert off.max() < 0.02 * WIDTH**0.5


def test_a_turn_keeps_products_and_evens_out_dimensions() -> None:
    values = np.random.default_rng(3)
    for width in (16, 48, 64, 192, 512):
        x, y = values.standard_normal((2, 5, width))
        x[:, 3] *= 100
        np.testing.assert_allclose(turned(x) @ turned(y).T, x @ y.T, atol=1e-4 * width)
        if width & (width - 1) == 0:
            assert np.abs(turned(x)).max() < 0.5 * np.abs(x).max()


@pytest.mark.slow
def test_millions_of_pairs_never_violate_the_bound() -> None:
    assert violations(600_000, lambda _: None) == 0
