"""Decoding by every system's rules: short, slow and uneven videos, masks, and frames that need the file's rate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.decoded_video import DecodedVideo
from framesift.export.bundle.video.profile import resize_crop, sample
from framesift.export.bundle.video.resizing import RESIZES
from framesift.export.bundle.video.sampling import SAMPLERS

Write = Callable[..., Path]
MASKED = FrameProfile(count=5, size=16, sampler="second_steps", missing="mask")


def _check(path: Path, rate: float, profile: FrameProfile) -> DecodedVideo:
    """Decode, and compare with all frames decoded, sampled at the rate, resized and padded with black."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = sample(len(pictures), rate, profile)
    clip = decode(path, profile)
    assert clip.frames.shape == (profile.count, 3, profile.size, profile.size)
    assert clip.frames.dtype == np.dtype(profile.dtype)
    expected = [resize_crop(pictures[place], profile) for place in chosen]
    assert np.array_equal(clip.frames[: len(chosen)], np.stack(expected))
    assert not clip.frames[len(chosen) :].any()
    assert clip.mask.dtype == np.float32
    assert clip.mask.tolist() == [1.0] * len(chosen) + [0.0] * (profile.count - len(chosen))
    assert clip.timestamps.shape == (profile.count,)
    assert (clip.timestamps[len(chosen) :] == clip.timestamps[len(chosen) - 1]).all()
    return clip


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("missing", ["mask", "repeat"])
@pytest.mark.parametrize("count", [1, 4, 53])
def test_every_sampler_takes_short_and_long_videos(write_clip: Write, sampler: str, missing: str, count: int) -> None:
    _check(write_clip(count), 25.0, FrameProfile(count=7, size=16, sampler=sampler, missing=missing))


# FFmpeg's own filter makes its pixels from what was decoded, before they are RGB: test_film_frames.py has its values.
@pytest.mark.parametrize("resize", sorted(RESIZES.keys() - {"ffmpeg_bicubic"}))
def test_every_resize_makes_its_own_pixels(write_clip: Write, resize: str) -> None:
    _check(write_clip(9), 25.0, FrameProfile(count=3, size=16, resize=resize))


@pytest.mark.parametrize(
    ("video", "rate", "times"),
    [
        ({"count": 66, "rate": Fraction(30000, 1001)}, 29.97, [0, 29 / 29.97, 58 / 29.97]),
        ({"count": 31, "rate": 15, "suffix": ".avi", "codec": "mpeg4"}, 15.0, [0, 1, 2]),
        ({"count": 31, "rate": 10, "suffix": ".mkv"}, 10.0, [0, 1, 2, 3]),
        ({"count": 3, "rate": Fraction(1, 2)}, 0.5, [0, 2, 4]),
        # Ten frames in a tenth of a second, none for a second, ten more: 12.8 frames a second, as OpenCV sees it too.
        ({"count": 20, "milliseconds": [10 * n + (1330 if n > 9 else 0) for n in range(20)]}, 12.82, [0, 1.45]),
        ({"count": 3, "milliseconds": [0, 9000, 20000]}, 0.1, [0, 9, 20]),
    ],
    ids=["NTSC", "AVI", "Matroska", "one frame in two seconds", "uneven", "slow and uneven"],
)
def test_seconds_go_by_the_rate_of_the_file(write_clip: Write, video: dict, rate: float, times: list[float]) -> None:
    clip = _check(write_clip(**video), rate, MASKED)
    assert np.allclose(clip.timestamps[: len(times)], times, atol=1e-3)
    assert clip.mask.sum() == len(times)


def test_all_frames_of_the_default_profile_are_real(write_clip: Write) -> None:
    assert decode(write_clip(2), FrameProfile(size=16)).mask.tolist() == [1.0] * 12


def test_truncation_is_seen_where_frames_go_by_the_second(write_clip: Write) -> None:
    path = write_clip(75, container={"movflags": "frag_keyframe+empty_moov"}, options={"x264-params": "keyint=5"})
    assert decode(path, MASKED).mask.sum() == 3
    whole = write_clip(75, options={"x264-params": "keyint=5"}, container={"movflags": "faststart"}).read_bytes()
    with pytest.raises(InvalidVideo, match="truncated"):
        decode(whole[: len(whole) // 2], MASKED)
    # What is missing is behind the last frame that is asked for.
    assert decode(whole[: len(whole) * 9 // 10], MASKED).mask.sum() == 3
