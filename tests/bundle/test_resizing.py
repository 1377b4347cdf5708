"""Resizing and cropping: as Pillow, PyTorch and OpenCV do it, and as the authors' own transforms did."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.resizing import (
    RESIZES,
    bilinear_twice,
    centre_crop,
    cv2_bilinear,
    pil_bicubic,
    tensor_bicubic,
)
from framesift.export.systems.dgl import DGL

COMMITTED = Path(__file__).parents[1] / "golden"
FOLDERS = [COMMITTED, *([Path(os.environ["FRAMESIFT_GOLDEN"])] if "FRAMESIFT_GOLDEN" in os.environ else [])]
GOLDEN = [
    pytest.param(path, key, id=f"{folder.name}-{key}")
    for folder in FOLDERS
    for path in folder.glob("preprocess/resize48.safetensors")
    for key in load_file(path)
    if key.split(".")[:2] in [["out", name] for name in ("xpool_noantialias", "clip4clip", "dgl", "frozen_noantialias")]
]
IMAGENET = tuple(np.array(values)[:, None, None] for values in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
MEAN, STD = (np.array(values)[:, None, None] for values in (FrameProfile().mean, FrameProfile().std))


PUBLISHED = [
    pytest.param(path, view, id=f"{folder.name}-{view}")
    for folder in FOLDERS
    for path in folder.glob("preprocess/published48.safetensors")
    for view in ("land", "port")
]
# Clover's, in the order in which its authors have them.
SWAPPED = tuple(np.array(values)[:, None, None] for values in ((103.53, 116.28, 123.675), (57.375, 57.12, 58.395)))


def _noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("path", "key"), GOLDEN)
def test_result_equals_the_authors(path: Path, key: str) -> None:
    tensors = load_file(path)
    _, system, view = key.split(".")
    mean, std = IMAGENET if system == "frozen_noantialias" else (MEAN, STD)
    image, expected = tensors[f"in.{view}"], tensors[key].astype(np.float64) * std + mean
    if system == "xpool_noantialias":
        assert np.abs(tensor_bicubic(image, 48) - expected).max() < 3e-4
        assert expected.min() < -5
    elif system == "frozen_noantialias":
        assert np.abs(bilinear_twice(image, 56, 48) - expected).max() < 3e-4
    else:
        assert np.abs(expected - np.round(expected)).max() < 1e-4
        resize = RESIZES[DGL.preprocessing.frames.resize] if system == "dgl" else pil_bicubic
        assert np.array_equal(resize(image, 48), np.round(expected))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_centre_crop_equals_torchvisions(height: int, width: int, size: int, seed: int) -> None:
    image = _noise(height, width, seed)
    # Smaller sides get zeros first, the odd one behind; then the corner is rounded to the even.
    missing = [max(0, size - side) for side in (height, width)]
    padded = np.pad(image, [(gap // 2, (gap + 1) // 2) for gap in missing] + [(0, 0)])
    top, left = (round((side - size) / 2.0) for side in padded.shape[:2])
    expected = padded[top : top + size, left : left + size].transpose(2, 0, 1)
    assert np.array_equal(centre_crop(image, size), expected)


@pytest.mark.parametrize(("path", "view"), PUBLISHED)
def test_clovers_pixels_equal_its_authors(path: Path, view: str) -> None:
    tensors = load_file(path)
    expected = tensors[f"out.clover.{view}"].astype(np.float64) * SWAPPED[1] + SWAPPED[0]
    assert np.abs(expected - np.round(expected)).max() < 1e-4
    assert np.array_equal(cv2_bilinear(tensors[f"in.{view}"], 48), np.round(expected))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_tensor_bicubic_equals_pytorch(height: int, width: int, size: int, seed: int) -> None:
    image = _noise(height, width, seed)
    tall, wide = (size, int(size * width / height)) if height < width else (int(size * height / width), size)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    whole = torch.nn.functional.interpolate(tensor, (tall, wide), mode="bicubic", align_corners=False)[0].numpy()
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    result = tensor_bicubic(image, size)
    assert result.dtype == np.float32
    assert np.abs(result - whole[:, top : top + size, left : left + size]).max() < 1e-3


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64), st.integers(1, 64), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_bilinear_twice_equals_pytorch(height: int, width: int, first: int, size: int, seed: int) -> None:
    image = _noise(height, width, seed)
    tall, wide = (first, int(first * width / height)) if height < width else (int(first * height / width), first)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    whole = torch.nn.functional.interpolate(tensor, (tall, wide), mode="bilinear", align_corners=False)
    top, left = round((tall - first) / 2), round((wide - first) / 2)
    square = whole[..., top : top + first, left : left + first]
    again = torch.nn.functional.interpolate(square, (size, size), mode="bilinear", align_corners=False)[0].numpy()
    result = bilinear_twice(image, first, size)
    assert result.dtype == np.float32
    assert np.abs(result - again).max() < 1e-3


def test_256_pixels_are_made_where_224_are_wanted() -> None:
    image = _noise(300, 280)
    assert np.array_equal(RESIZES["tensor_bilinear_twice"](image, 224), bilinear_twice(image, 256, 224))


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """OpenCV's fixed-point bilinear resize of a whole picture, pixel by pixel, from its definition."""

    def taps(length: int, resized: int) -> list[tuple[int, float]]:
        scale = 1 / (resized / length)
        positions = [np.float32((place + 0.5) * scale - 0.5) for place in range(resized)]
        return [(int(np.floor(position)), position - np.floor(position)) for position in positions]

    def weights(after: float) -> tuple[int, int]:
        return round(float(np.float32(1 - after) * 2048)), round(float(after * 2048))

    rows, columns = image.shape[:2]
    result = np.zeros((height, width, 3), np.uint8)
    for y, (row, down) in enumerate(taps(rows, height)):
        for x, (column, across) in enumerate(taps(columns, width)):
            inside = 0 <= column < columns - 1
            first, second = weights(across) if inside else (2048, 0)
            near = min(max(column, 0), columns - 1)
            far = min(near + 1, columns - 1)
            for channel in range(3):
                total = 2
                for line, weight in zip((row, row + 1), weights(down), strict=True):
                    pixels = image[min(max(line, 0), rows - 1), :, channel].astype(int)
                    total += (((pixels[near] * first + pixels[far] * second) >> 4) * weight) >> 16
                result[y, x, channel] = total >> 2
    return result


@pytest.mark.parametrize(
    ("height", "width", "size", "resized"),
    [(31, 17, 12, (22, 12)), (9, 14, 13, (13, 20)), (1, 5, 4, (4, 20)), (20, 11, 11, (20, 11)), (17, 26, 4, (4, 6))],
)
def test_cv2_bilinear_follows_the_definition(height: int, width: int, size: int, resized: tuple[int, int]) -> None:
    image = _noise(height, width)
    whole = _bilinear(image, *resized)
    top, left = (resized[0] - size) // 2, (resized[1] - size) // 2
    expected = whole[top : top + size, left : left + size].transpose(2, 0, 1)
    assert np.array_equal(cv2_bilinear(image, size), expected)


# SHA-256 of what OpenCV 4.8.1 and 5.0.0 make of noise, cropped. The first is not rounded down to 298 columns; the
# fourth is half its size on both sides, which OpenCV computes in another way.
OPENCV = [
    (240, 320, 224, "d8a1c03887266d06"),
    (720, 1280, 224, "8eb4bb7fa2f0446a"),
    (448, 797, 224, "77847d9e53f0e990"),
    (448, 640, 224, "d71a7bf7b273b0a9"),
    (97, 61, 48, "3e7191a084234e75"),
    (31, 45, 64, "9ed4840dfd69a3e1"),
    (33, 100, 33, "c5ff66bd6f59263c"),
    (5, 7, 48, "76636f2d8d016f23"),
]


@pytest.mark.parametrize(("height", "width", "size", "digest"), OPENCV)
def test_cv2_bilinear_equals_opencv(height: int, width: int, size: int, digest: str) -> None:
    result = cv2_bilinear(_noise(height, width), size)
    assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == digest


def _antialiased(signal: np.ndarray, size: int) -> np.ndarray:
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
def test_pil_bicubic_follows_the_definition(
    height: int, width: int, resized: tuple[int, int], left: int, top: int
) -> None:
    image = _noise(height, width)
    across = np.clip(np.round(_antialiased(image.astype(float).transpose(1, 0, 2), resized[1])), 0, 255)
    whole = np.clip(_antialiased(across.transpose(1, 0, 2), resized[0]), 0, 255)
    expected = whole[top : top + 48, left : left + 48].transpose(2, 0, 1)
    assert np.abs(pil_bicubic(image, 48) - expected).max() < 1


@pytest.mark.parametrize(
    "name", sorted(RESIZES.keys() - {"tensor_bilinear_twice", "pil_bilinear_square", "tensor_padded"})
)
@pytest.mark.parametrize(("height", "width"), [(32, 57), (50, 32), (32, 32)])
def test_picture_of_the_right_size_is_only_cropped(name: str, height: int, width: int) -> None:
    image = _noise(height, width)
    top, left = (height - 32) // 2, (width - 32) // 2
    expected = image[top : top + 32, left : left + 32].transpose(2, 0, 1)
    result = RESIZES[name](image, 32)
    assert result.flags.c_contiguous
    assert result.dtype == np.dtype(FrameProfile(resize=name).dtype)
    assert np.array_equal(result, expected)
