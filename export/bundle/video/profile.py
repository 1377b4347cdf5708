"""From a video's frames to a text-video model's pixels, as a profile says: which frames, how resized and cropped."""

from __future__ import annotations

import numpy as np

from ..errors import BundleError
from ..manifest import FrameProfile
from .resizing import RESIZES, Image8, Pixels
from .sampling import SAMPLERS, clips

CROP, UNCUT = "center", "none"
REPEAT, MASK, FEWER = "repeat", "mask", "none"
# Pictures are resized while they become RGB.
BY_FFMPEG = "ffmpeg_bicubic"


def check_profile(profile: FrameProfile) -> None:
    """Check that this framesift can do what a profile asks for.

    Raises:
        BundleError: an unknown sampler, resize, crop or rule for missing frames, or a count or size below 1.
    """
    for what, name, known in (
        ("sampler", profile.sampler, sorted(SAMPLERS)),
        ("resize", profile.resize, sorted(RESIZES)),
        ("crop", profile.crop, [CROP, UNCUT] if profile.resize == BY_FFMPEG else [CROP]),
        ("missing", profile.missing, [MASK, FEWER, REPEAT]),
    ):
        if name not in known:
            raise BundleError(f"the frame profile's {what} {name!r} is unknown, known: {', '.join(known)}")
    if profile.together < 1 or profile.count % profile.together:
        raise BundleError(f"the frame profile's {profile.count} frames are no clips of {profile.together}")
    if profile.count < 1 or profile.size < 1:
        raise BundleError(f"the frame profile's count {profile.count} and size {profile.size} must be positive")


def sample(total: int, rate: float, profile: FrameProfile) -> list[int]:
    """The indices of the frames to take of a video, ascending.

    There are ``profile.count`` of them, the last one again and again where the video is short; or, where nothing stands
    for what is missing, or a mask leaves it out, fewer, but at least one.

    Args:
        total: number of the video's frames, at least 1.
        rate: its frames per second on average.
    """
    if profile.together > 1 and profile.sampler == "clips":
        chosen = clips(total, rate, profile.count, profile.together)
    else:
        chosen = SAMPLERS[profile.sampler](total, rate, profile.count)
    return chosen + chosen[-1:] * (profile.count - len(chosen)) if profile.missing == REPEAT else chosen


def resize_crop(image: Image8, profile: FrameProfile) -> Pixels:
    """Resize an image's short side and crop the middle square.

    Args:
        image: RGB, uint8 [H, W, 3].

    Returns:
        ``profile.dtype`` [3, S, S] with S ``profile.size``; or, where nothing is cropped, [3, H, W] with S the less.
    """
    if profile.crop == UNCUT:
        return np.ascontiguousarray(image.transpose(2, 0, 1))
    return RESIZES[profile.resize](image, profile.size)
