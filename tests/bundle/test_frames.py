"""Which frames are taken, and how they are resized and cropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.frames import check_profile, resize_crop, sample, uniform
from framesift.export.bundle.manifest import FrameProfile

# Made by the authors' own code for X-Pool with 12 frames and Frozen in Time with 4.
X_POOL_12 = {
    1: [0] * 12,
    5: [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4],
    11: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10],
    12: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    13: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    24: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22],
    25: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23],
    37: [1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34],
    100: [3, 11, 20, 28, 36, 45, 53, 61, 70, 78, 86, 95],
    299: [11, 36, 61, 86, 111, 136, 161, 186, 211, 236, 261, 286],
    300: [12, 37, 62, 87, 112, 137, 162, 187, 212, 237, 262, 287],
    457: [18, 56, 94, 132, 170, 208, 246, 284, 322, 360, 398, 437],
    1800: [74, 224, 374, 524, 674, 824, 974, 1124, 1274, 1424, 1574, 1724],
}
FROZEN_4 = {
    5: [0, 1, 2, 3],
    11: [0, 3, 6, 9],
    12: [1, 4, 7, 10],
    25: [2, 8, 14, 21],
    299: [36, 111, 186, 261],
}


@pytest.mark.parametrize("total", X_POOL_12)
def test_uniform_equals_x_pool(total: int) -> None:
    assert uniform(total, 12) == X_POOL_12[total]


@pytest.mark.parametrize("total", FROZEN_4)
def test_uniform_equals_frozen_in_time(total: int) -> None:
    assert uniform(total, 4) == FROZEN_4[total]


@given(st.integers(1, 500_000), st.integers(1, 64))
def test_uniform_gives_as_many_ascending_frames_as_asked(total: int, count: int) -> None:
    chosen = uniform(total, count)
    assert len(chosen) == count
    assert chosen == sorted(chosen)
    assert min(chosen) >= 0
    assert max(chosen) < total
    assert len(set(chosen)) == min(total, count)


def _bicubic(signal: np.ndarray, size: int) -> np.ndarray:
    """Antialiased bicubic resampling (a = -0.5) of the first axis in float64, from the definition."""
    scale = signal.shape[0] / size
    stretch = max(scale, 1.0)
    rows = np.zeros((size, signal.shape[0]))
    for row in range(size):
        x = np.abs(np.arange(signal.shape[0]) + 0.5 - (row + 0.5) * scale) / stretch
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
        rows[row] = weights / weights.sum()
    return np.tensordot(rows, signal, axes=1)


@pytest.mark.parametrize(
    ("height", "width", "resized", "left", "top"),
    [
        (108, 192, (48, 85), 18, 0),
        (160, 100, (76, 48), 0, 14),
        (48, 51, (48, 51), 2, 0),
        (53, 48, (53, 48), 0, 2),
        (20, 31, (48, 74), 13, 0),
        (48, 48, (48, 48), 0, 0),
    ],
)
def test_resize_and_crop_follow_the_definition(
    height: int, width: int, resized: tuple[int, int], left: int, top: int
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    across = np.clip(np.round(_bicubic(image.astype(float).transpose(1, 0, 2), resized[1])), 0, 255)
    whole = np.clip(_bicubic(across.transpose(1, 0, 2), resized[0]), 0, 255)
    expected = whole[top : top + 48, left : left + 48].transpose(2, 0, 1)
    result = resize_crop(image, 48)
    assert result.shape == (3, 48, 48)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert np.abs(result - expected).max() < 1


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (FrameProfile(sampler="random"), "sampler 'random' is unknown, known: uniform"),
        (FrameProfile(resize="bilinear"), "resize 'bilinear'"),
        (FrameProfile(crop="none"), "crop 'none'"),
        (FrameProfile(count=0), "count 0"),
        (FrameProfile(size=0), "size 0"),
    ],
)
def test_unknown_profile_is_refused(profile: FrameProfile, fault: str) -> None:
    with pytest.raises(BundleError, match=fault):
        check_profile(profile)


def test_sample_uses_the_profile() -> None:
    check_profile(FrameProfile())
    assert sample(100, FrameProfile(count=3)) == [16, 49, 82]
