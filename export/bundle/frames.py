"""From a video's frames to a text-video model's pixels: which frames to take, how to resize and crop them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import BundleError
from .manifest import FrameProfile

Sampler = Callable[[int, int], list[int]]

RESIZE = "bicubic-antialias"
CROP = "center"


def uniform(total: int, count: int) -> list[int]:
    """The middle frame of each of ``count`` equal parts of a video of ``total`` frames (X-Pool's rule).

    A video with fewer frames gives all of them; then its last frame repeats. Always ``count`` indices.
    """
    parts = min(count, total)
    # Truncated floats, not integer division: this is how the published models were trained.
    cuts = np.linspace(0, total, parts + 1).astype(int).tolist()
    chosen = [(first + after - 1) // 2 for first, after in pairwise(cuts)]
    return chosen + [chosen[-1]] * (count - parts)


SAMPLERS: Mapping[str, Sampler] = {"uniform": uniform}


def check_profile(profile: FrameProfile) -> None:
    """Check that this framesift can do what a profile asks for.

    Raises:
        BundleError: an unknown sampler, resize or crop, or a count or size below 1.
    """
    for what, name, known in (
        ("sampler", profile.sampler, sorted(SAMPLERS)),
        ("resize", profile.resize, [RESIZE]),
        ("crop", profile.crop, [CROP]),
    ):
        if name not in known:
            raise BundleError(f"the frame profile's {what} {name!r} is unknown, known: {', '.join(known)}")
    if profile.count < 1 or profile.size < 1:
        raise BundleError(f"the frame profile's count {profile.count} and size {profile.size} must be positive")


def sample(total: int, profile: FrameProfile) -> list[int]:
    """The indices of the ``profile.count`` frames to take of a video with ``total`` frames, ascending."""
    return SAMPLERS[profile.sampler](total, profile.count)


def resize_crop(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Resize an image's short side to ``size`` and crop the middle square.

    Equal to the last bit to torchvision's ``Resize(size, BICUBIC)`` and ``CenterCrop(size)`` of a Pillow
    image.

    Args:
        image: RGB, uint8 [H, W, 3].
        size: side of the result in pixels.

    Returns:
        uint8 [3, size, size].
    """
    height, width = image.shape[:2]
    if width <= height:
        new_width, new_height = size, int(size * height / width)
    else:
        new_width, new_height = int(size * width / height), size
    left, top = round((new_width - size) / 2), round((new_height - size) / 2)
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    cropped = np.asarray(resized.crop((left, top, left + size, top + size)))
    return np.ascontiguousarray(cropped.transpose(2, 0, 1))
