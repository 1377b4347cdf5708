"""Resizing a picture's short side and cropping the middle square, as three libraries do it.

All take RGB uint8 [H, W, 3] and the side S of the result, and give [3, S, S], from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Image8 = npt.NDArray[np.uint8]
# uint8 or float32, as a profile says that is known only when it is read.
Pixels = npt.NDArray[Any]
Resize = Callable[[Image8, int], Pixels]

_CUBIC = -0.75
_ONE = 1 << 11
_BAND_PIXELS = 1 << 22
_SQUARE, _MARGIN = 512, 1.2


def pil_bicubic(image: Image8, size: int) -> Image8:
    """Pillow's bicubic resampling, which antialiases; uint8.

    Equal to the last bit to torchvision's ``Resize(size, BICUBIC)`` and ``CenterCrop(size)`` of a Pillow image.
    """
    height, width = _truncated_size(image, size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = Image.fromarray(_narrowed(image, width)).resize((width, height), Image.Resampling.BICUBIC)
    cropped = np.asarray(resized.crop((left, top, left + size, top + size)))
    return np.ascontiguousarray(cropped.transpose(2, 0, 1))


def centre_crop(image: Image8, size: int) -> Image8:
    """The middle square of a picture that is not resized, black around it where the picture is smaller; uint8.

    Equal to torchvision's ``CenterCrop(size)`` (DGL, whose videos were shrunk beforehand).
    """
    top, left = (max(0, round((side - size) / 2)) for side in image.shape[:2])
    kept = image[top : top + size, left : left + size]
    height, width = kept.shape[:2]
    above, before = (size - height) // 2, (size - width) // 2
    pixels = np.zeros((3, size, size), np.uint8)
    pixels[:, above : above + height, before : before + width] = kept.transpose(2, 0, 1)
    return pixels


def tensor_bicubic(image: Image8, size: int) -> npt.NDArray[np.float32]:
    """Bicubic interpolation between the 4 x 4 nearest pixels, without antialiasing or clamping; float32.

    Equal, up to rounding, to torchvision's ``Resize(size, BICUBIC, antialias=False)`` and ``CenterCrop(size)`` of a
    tensor of floats.
    """
    height, width = _truncated_size(image, size)
    rows, down = _cubic_taps(image.shape[0], height, round((height - size) / 2), size)
    columns, across = _cubic_taps(image.shape[1], width, round((width - size) / 2), size)
    first = int(columns.min())
    used = np.ascontiguousarray(image[:, first : int(columns.max()) + 1])
    lines = used.reshape(len(used), -1)
    narrowed, part = np.zeros((2, size, lines.shape[1]), np.float32)
    for row, weight in zip(rows, down, strict=True):
        narrowed += np.multiply(lines[row], weight[:, None], out=part)
    pixels = np.zeros((size, 3, size), np.float32)
    for column, weight in zip(columns - first, across, strict=True):
        pixels += _planes(narrowed, column) * weight
    return np.ascontiguousarray(pixels.transpose(1, 0, 2))


def cv2_bilinear(image: Image8, size: int) -> Image8:
    """OpenCV's ``resize(..., INTER_LINEAR)`` of bytes, to the last bit, without antialiasing; uint8.

    The long side is rounded to the nearest and the crop's corner rounded down, as MMCV and MMAction do.
    """
    short = min(image.shape[:2])
    height, width = (int(side * (size / short) + 0.5) for side in image.shape[:2])
    top, left = (height - size) // 2, (width - size) // 2
    if image.shape[:2] == (2 * height, 2 * width):
        # OpenCV takes the mean of each 2 x 2 pixels instead, which rounds in another way.
        cut = image[2 * top : 2 * (top + size), 2 * left : 2 * (left + size)].astype(np.uint16)
        means = (cut[::2, ::2] + cut[::2, 1::2] + cut[1::2, ::2] + cut[1::2, 1::2] + 2) >> 2
        return np.ascontiguousarray(means.astype(np.uint8).transpose(2, 0, 1))
    rows, down = _linear_taps(image.shape[0], height, top, size)
    columns, across = _linear_taps(image.shape[1], width, left, size)
    outside = (columns[0] < 0) | (columns[0] >= image.shape[1] - 1)
    # Beyond the border OpenCV repeats columns with a weight of one, but rows with two weights.
    across[:, outside] = [[_ONE], [0]]
    columns = columns.clip(0, image.shape[1] - 1)
    used, places = np.unique(rows.clip(0, image.shape[0] - 1), return_inverse=True)
    lines = image[used].reshape(len(used), -1)
    narrowed = sum(_planes(lines, column) * weight for column, weight in zip(columns, across, strict=True)) >> 4
    upper, lower = (
        (narrowed[place] * weight[:, None, None]) >> 16
        for place, weight in zip(places.reshape(rows.shape), down, strict=True)
    )
    return np.ascontiguousarray(((upper + lower + 2) >> 2).astype(np.uint8).transpose(1, 0, 2))


def pil_bilinear_square(image: Image8, size: int) -> Image8:
    """A square of 512 pixels whatever the picture's sides are, and of that what ``enlarged_crop`` gives (All-in-one).

    The authors' decoder makes the square; Pillow's bilinear resampling stands in for it.
    """
    narrow = _narrowed(image, _SQUARE, Image.Resampling.BILINEAR)
    square = Image.fromarray(narrow).resize((_SQUARE, _SQUARE), Image.Resampling.BILINEAR)
    return enlarged_crop(np.asarray(square), size)


def enlarged_crop(square: Image8, size: int) -> Image8:
    """The middle of a square resized to 1.2 times ``size`` by Pillow's antialiasing bilinear resampling; uint8."""
    side = int(_MARGIN * size)
    resized = Image.fromarray(square).resize((side, side), Image.Resampling.BILINEAR)
    first = round((side - size) / 2)
    cropped = np.asarray(resized.crop((first, first, first + size, first + size)))
    return np.ascontiguousarray(cropped.transpose(2, 0, 1))


def tensor_padded(image: Image8, size: int) -> npt.NDArray[np.float32]:
    """The long side at ``size`` by bilinear interpolation without antialiasing, black to the right and below; float32.

    Equal, up to rounding, to torch's ``interpolate`` of floats with ``align_corners`` off (ClipBERT).
    """
    height, width = image.shape[:2]
    tall, wide = (max(1, int(size * side / max(height, width))) for side in (height, width))
    rows, down = _between(height, tall, 0, tall)
    columns, across = _between(width, wide, 0, wide)
    lines = image.reshape(height, -1)
    narrowed = sum(lines[row] * weight[:, None] for row, weight in zip(rows, down, strict=True))
    pixels = np.zeros((3, size, size), np.float32)
    for column, weight in zip(columns, across, strict=True):
        pixels[:, :tall, :wide] += (_planes(narrowed, column) * weight).transpose(1, 0, 2)
    return pixels


def tensor_bilinear_twice(image: Image8, size: int) -> npt.NDArray[np.float32]:
    """``bilinear_twice`` by way of eight sevenths of the size: 256 pixels where 224 are wanted (Frozen in Time)."""
    return bilinear_twice(image, round(size * 8 / 7), size)


def bilinear_twice(image: Image8, first: int, size: int) -> npt.NDArray[np.float32]:
    """Bilinear interpolation to a short side of ``first``, the middle square of it, and that to ``size``; float32.

    Equal, up to rounding, to torchvision's ``Resize(first, antialias=False)``, ``CenterCrop(first)`` and
    ``Resize(size, antialias=False)`` of a tensor of floats.
    """
    height, width = _truncated_size(image, first)
    rows, down = _between(image.shape[0], height, round((height - first) / 2), first)
    columns, across = _between(image.shape[1], width, round((width - first) / 2), first)
    again, weights = _between(first, size, 0, size)
    lines = image.reshape(len(image), -1)
    narrowed = sum(lines[row] * weight[:, None] for row, weight in zip(rows, down, strict=True))
    square = sum(_planes(narrowed, column) * weight for column, weight in zip(columns, across, strict=True))
    low = sum(square[row] * weight[:, None, None] for row, weight in zip(again, weights, strict=True))
    pixels = sum(low[..., column] * weight for column, weight in zip(again, weights, strict=True))
    return np.ascontiguousarray(pixels.transpose(1, 0, 2))


def ffmpeg_bicubic(image: Image8, size: int) -> Image8:
    """The middle square of a picture whose short side FFmpeg's scaler has made ``size`` already, see ``pictures``."""
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + size, left : left + size].transpose(2, 0, 1))


RESIZES: Mapping[str, Resize] = {
    "pil_bilinear_square": pil_bilinear_square,
    "tensor_padded": tensor_padded,
    "pil_bicubic": pil_bicubic,
    "tensor_bicubic": tensor_bicubic,
    "cv2_bilinear": cv2_bilinear,
    "tensor_bilinear_twice": tensor_bilinear_twice,
    "ffmpeg_bicubic": ffmpeg_bicubic,
    "centre_crop": centre_crop,
}


def _truncated_size(image: Image8, size: int) -> tuple[int, int]:
    """Height and width with the short side at ``size`` and the long one rounded down, as torchvision does."""
    height, width = image.shape[:2]
    return (int(size * height / width), size) if width <= height else (size, int(size * width / height))


def _narrowed(image: Image8, width: int, by: Image.Resampling = Image.Resampling.BICUBIC) -> Image8:
    """An image resized to ``width`` where it is large, band by band; Pillow resizes across first in any case.

    Pillow takes four bytes a pixel, which for a picture of 8K is more memory than all else.
    """
    rows = max(1, _BAND_PIXELS // image.shape[1])
    if len(image) <= rows:
        return image
    narrow = np.empty((len(image), width, 3), np.uint8)
    for first in range(0, len(image), rows):
        band = image[first : first + rows]
        narrow[first : first + rows] = Image.fromarray(band).resize((width, len(band)), by)
    return narrow


def _planes(lines: npt.NDArray[np.generic], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
    """Columns [S] of interleaved lines [R, 3 W] as planes [R, 3, S]."""
    return lines.take(3 * columns + np.arange(3)[:, None], axis=1)


def _cubic_taps(
    length: int, resized: int, first: int, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each of ``count`` resized pixels from ``first`` on the 4 pixels it is made of, and their weights: [4, count].

    Positions are float32 as in PyTorch, rounded once after a fused multiplication and subtraction: far from the origin
    their rounding shows in the pixels.
    """
    scale = float(np.float32(length) / np.float32(resized))
    position = (scale * (np.arange(first, first + count) + 0.5) - 0.5).astype(np.float32)
    floor = np.floor(position)
    x = np.abs((position - floor).astype(np.float64) - np.array([[-1], [0], [1], [2]]))
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC
    places = floor.astype(np.int64) + np.array([[-1], [0], [1], [2]])
    return places.clip(0, length - 1), np.where(x <= 1, near, far).astype(np.float32)


def _between(
    length: int, resized: int, first: int, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each of ``count`` resized pixels from ``first`` on the 2 pixels around it, and their weights: [2, count].

    Positions are PyTorch's; those before the first pixel are at it.
    """
    scale = float(np.float32(length) / np.float32(resized))
    position = (scale * (np.arange(first, first + count) + 0.5) - 0.5).astype(np.float32).clip(0)
    floor = np.floor(position)
    after = (position - floor).astype(np.float32)
    places = floor.astype(np.int64) + np.array([[0], [1]])
    return places.clip(0, length - 1), np.stack([1 - after, after])


def _linear_taps(
    length: int, resized: int, first: int, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """For each of ``count`` resized pixels from ``first`` on the 2 pixels beside it, and their weights: [2, count].

    Pixels may lie outside the picture; weights are in 2048ths.
    """
    # The reciprocal of a quotient is OpenCV's, and not always the inverted quotient.
    scale = 1 / (resized / length)
    position = ((np.arange(first, first + count) + 0.5) * scale - 0.5).astype(np.float32)
    floor = np.floor(position)
    after = position - floor
    weights = np.rint(np.stack([np.float32(1) - after, after]) * np.float32(_ONE)).astype(np.int32)
    return floor.astype(np.int64) + np.array([[0], [1]]), weights
