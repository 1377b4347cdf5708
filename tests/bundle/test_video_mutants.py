"""Whatever is wrong with a file, it is decoded or refused in time and memory, and the decoder goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decoded_video import DecodedVideo

from .clips import KINDS
from .video_mutator import mutants
from .watching import Watched

Write = Callable[..., Path]
PROFILE = FrameProfile(count=4, size=16)
# A run at full length sets it to 1,500.
COUNT = int(os.environ.get("FRAMESIFT_MUTANTS", "60"))


def test_mutants_are_decoded_or_refused(write_clip: Write, watched: Watched) -> None:
    files = [write_clip(30, **options).read_bytes() for options in KINDS.values()]
    expected = [watched.sandbox.decode(raw, PROFILE) for raw in files]
    decoded = 0
    for number, (name, raw) in enumerate(mutants(files, COUNT)):
        if number % 20 == 0:
            place = number % len(files)
            assert np.array_equal(watched.sandbox.decode(files[place], PROFILE).frames, expected[place].frames), name
        try:
            with watched.bounds():
                video = watched.sandbox.decode(raw, PROFILE)
        except InvalidVideo:
            continue
        except AssertionError as error:
            raise AssertionError(name) from error
        decoded += 1
        _check(video, name)
    assert 0 < decoded < COUNT


def _check(video: DecodedVideo, name: str) -> None:
    assert video.frames.shape == (4, 3, 16, 16), name
    assert video.frame_count >= 1, name
    assert np.isfinite(video.timestamps).all(), name
    assert (np.diff(video.timestamps) >= 0).all(), name
    assert 0 < video.duration < 4 * 3600, name
