"""Which frames are taken: as the authors' own code takes them, and always frames that there are."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.profile import sample
from framesift.export.bundle.video.sampling import SAMPLERS, equal_middle, second_steps, segment_round, uniform_middle

COMMITTED = Path(__file__).parents[1] / "golden"
FOLDERS = [COMMITTED, *([Path(os.environ["FRAMESIFT_GOLDEN"])] if "FRAMESIFT_GOLDEN" in os.environ else [])]
ROWS = [
    pytest.param(row, id=f"{folder.name}-{row['video_frames']}")
    for folder in FOLDERS
    for path in folder.glob("preprocess/frame_sampling.json")
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
]


@pytest.mark.parametrize("row", ROWS)
def test_indices_equal_the_authors(row: dict) -> None:
    total = row["video_frames"]
    assert uniform_middle(total, 25.0, 12) == row["xpool_12"]
    assert uniform_middle(total, 25.0, 4) == row["frozen_4"]
    assert sample(total, 25.0, FrameProfile(sampler="tick_middle")) == row["dgl_12"]
    assert segment_round(total, 25.0, 12) == row["stan_12"]
    # Of a video with one frame a second every frame is a candidate.
    assert second_steps(total, 1.0, 12) == row["clip4clip_pick_12_of_available"]


PUBLISHED = [
    pytest.param(row, id=f"{folder.name}-{row['video_frames']}")
    for folder in FOLDERS
    for path in folder.glob("preprocess/published_sampling.json")
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
]


@pytest.mark.parametrize("row", PUBLISHED)
def test_indices_equal_those_of_other_authors(row: dict) -> None:
    assert equal_middle(row["video_frames"], 25.0, 32) == row["clover_32"]


# Frames of real files in which CLIP4Clip's loop over OpenCV's CAP_PROP_POS_FRAMES ended up.
OPENCV = [
    (1, Fraction(25), [0]),
    (50, Fraction(15), [0, 15, 30, 45]),
    (77, Fraction(24000, 1001), [0, 23, 46, 69]),
    (80, Fraction(30), [0, 30, 60]),
    (95, Fraction(997, 100), [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90]),
    (100, Fraction(25), [0, 25, 50, 75]),
    (103, Fraction(25), [0, 25, 50, 75, 100]),
    (120, Fraction(120000, 4783), [0, 25, 50, 75, 100]),
    (200, Fraction(30000, 1001), [0, 29, 58, 87, 116, 145, 174]),
]


@pytest.mark.parametrize(("total", "rate", "chosen"), OPENCV)
def test_second_steps_equal_opencv(total: int, rate: Fraction, chosen: list[int]) -> None:
    assert second_steps(total, float(rate), 12) == chosen
    assert second_steps(total, float(rate), 1) == [0]


def test_second_steps_of_a_long_video_are_thinned_between_first_and_last() -> None:
    assert second_steps(25 * 60 + 1, 25.0, 4) == [0, 25 * 20, 25 * 40, 25 * 60]
    assert second_steps(25 * 60, 25.0, 4) == [0, 25 * 19, 25 * 39, 25 * 59]


def test_less_than_a_frame_a_second_takes_every_frame() -> None:
    assert second_steps(5, 0.5, 12) == [0, 1, 2, 3, 4]


@settings(deadline=None)
@given(
    st.sampled_from(sorted(SAMPLERS)), st.integers(1, 500_000), st.floats(0.01, 1000), st.integers(1, 64), st.booleans()
)
def test_chosen_frames_are_ascending_and_there(name: str, total: int, rate: float, count: int, mask: bool) -> None:
    profile = FrameProfile(count=count, sampler=name, missing="mask" if mask else "repeat")
    chosen = sample(total, rate, profile)
    assert 1 <= len(chosen) <= count
    assert mask or len(chosen) == count
    assert chosen == sorted(chosen)
    assert min(chosen) >= 0
    assert max(chosen) < total


@settings(deadline=None)
@given(st.sampled_from(["uniform_middle", "tick_middle"]), st.integers(1, 500_000), st.integers(1, 64))
def test_no_frame_is_taken_twice_while_there_are_others(name: str, total: int, count: int) -> None:
    assert len(set(sample(total, 25.0, FrameProfile(count=count, sampler=name)))) == min(total, count)


def test_only_a_mask_leaves_a_short_video_short() -> None:
    assert sample(3, 25.0, FrameProfile(count=5)) == [0, 1, 2, 2, 2]
    assert sample(3, 25.0, FrameProfile(count=5, missing="mask")) == [0, 1, 2]
    assert sample(60, 25.0, FrameProfile(count=5, sampler="second_steps")) == [0, 25, 50, 50, 50]
    assert sample(60, 25.0, FrameProfile(count=5, sampler="second_steps", missing="mask")) == [0, 25, 50]
