"""Which kernel a device gets, and text vectors in the form that it reads: nothing here is compiled or interpreted."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

pytest.importorskip("triton")

from framesift.kernels.topk_attention import configs
from framesift.kernels.topk_attention.building import words
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.plans import Plan, fits, plan
from framesift.kernels.topk_attention.text import parts

SHAPE = HeadShape(12, 512, 4)
PINGPONG = configs.CANDIDATES[90, "many", "float16"][0]
BULK = configs.CANDIDATES[90, "few", "float16"][0]


def test_nothing_takes_a_kernel_that_was_never_run() -> None:
    assert configs.OWN == {}
    for arch in (80, 86, 89, 90, 100, 103, 120, 121):
        for queries in (1, 16, 256):
            assert plan(SHAPE, "float16", queries, arch).tile.kernel == "portable"


def test_a_measured_row_is_taken_where_it_fits_and_nowhere_else() -> None:
    with mock.patch.dict(configs.OWN, {(90, "many", "float16"): PINGPONG, (90, "few", "float16"): BULK}):
        assert plan(SHAPE, "float16", 256, 90).tile is PINGPONG
        assert plan(SHAPE, "float16", 1, 90).tile is BULK
        for shape, storage, queries, arch in (
            (SHAPE, "float16", 256, 100),
            (SHAPE, "float16", 16, 90),
            (SHAPE, "int8", 256, 90),
            (HeadShape(12, 512, 4, heads=2), "float16", 256, 90),
            (HeadShape(16, 512, 4), "float16", 256, 90),
            (HeadShape(12, 1024, 4), "float16", 256, 90),
            (HeadShape(7, 512, 4), "float16", 1, 90),
            (HeadShape(12, 480, 4), "float16", 1, 90),
        ):
            assert plan(shape, storage, queries, arch).tile.kernel == "portable"  # type: ignore[arg-type]


def test_every_candidate_fits_the_reference_model() -> None:
    for (_, _, storage), tiles in configs.CANDIDATES.items():
        assert all(fits(tile, SHAPE, storage) for tile in tiles)


def test_a_device_without_the_tensor_cores_is_refused() -> None:
    with pytest.raises(ValueError, match=r"compute capability 8\.0 or newer, this device has 7\.5"):
        plan(SHAPE, "float16", 1, 75)


def test_the_grid_of_the_pingpong_kernel_is_the_multiprocessors() -> None:
    how = Plan(SHAPE, "float16", 90, PINGPONG)
    assert how.tile.grid(256, 1_000_000, 132) == (4, 33)
    assert how.tile.grid(17, 9, 132) == (1, 2)
    assert how.tile.grid(100_000, 1_000, 132) == (1563, 1)
    assert len(words(how, search=True)) == len(words(how)) + 1
    # In int8 a kernel of its own keeps the largest scores.
    parted = Plan(SHAPE, "int8", 90, configs.CANDIDATES[90, "many", "int8"][0])
    assert words(parted, search=True) == words(parted)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_text_in_int8_parts_is_within_its_step(scale: float) -> None:
    vectors = torch.randn(5, 192) * scale
    vectors[1] = 0
    vectors[2, 0] = -10 * vectors[2].abs().max()
    made, units = parts(vectors)
    upper, lower = made.double().split(192, 1)
    assert made.dtype == torch.int8
    error = ((256 * upper + lower) * units[:, None].double() - vectors).abs().amax(1)
    assert (error <= 0.501 * units).all()
    assert (units[2:] <= vectors[2:].abs().amax(1) / 32_638).all()


def test_the_largest_int8_sums_are_within_int32() -> None:
    made, _ = parts(torch.tensor([[1.0, -1.0, 128 / 32_639, -128 / 32_639]]))
    upper, lower = made.int().split(4, 1)
    assert torch.equal(256 * upper + lower, torch.tensor([[32_639, -32_639, 128, -128]]))
    assert 512 * 127 * 32_639 < 2**31
