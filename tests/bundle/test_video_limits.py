"""Limits: set by name, told by every refusal with a setting that would do, and held against work and not pixels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest, InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video import work as work_module
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VARIABLE, VideoLimits
from framesift.export.bundle.video.work import Work

Write = Callable[..., Path]
PROFILE = FrameProfile(count=4, size=16)
SETTING = re.compile(r"raise the limit: framesift serve --video-limit (\w+=\w+)$")


# Pixels a second that decoders of the usual codecs make, and those of JPEG 2000.
FAST, SLOW = 100e6, 5e6


class Clock:
    """In the place of ``time``: on a machine that is busy the same work takes now this long, now that."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    thread_time = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(work_module, "time", made)
    return made


class Paced(Work):
    """Work that takes the time of a decoder of so many pixels a second."""

    def __init__(self, limits: VideoLimits, clock: Clock, pace: float) -> None:
        self._clock, self._pace = clock, pace
        super().__init__(limits)

    def spend(self, pixels: int = 0) -> None:
        self._clock.now += pixels / self._pace
        super().spend(pixels)


def test_limits_are_set_by_name() -> None:
    limits = DEFAULT_LIMITS.with_settings(["work=120", "bytes=1G", "memory=1.5G", "seconds=0.5", "aspect=4"])
    assert limits.max_work == 120.0
    assert limits.max_bytes == 1 << 30
    assert limits.max_memory == 3 << 29
    assert limits.max_seconds == 0.5
    assert limits.max_aspect == 4
    assert limits.max_pixels == DEFAULT_LIMITS.max_pixels


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("speed=3", "the video limit 'speed' is unknown, known: bytes, seconds, side, pixels, aspect"),
        ("work", "work needs a positive number, such as 120 or 512M, not ''"),
        ("work=", "work needs a positive number"),
        ("work=0", "work needs a positive number"),
        ("work=-1", "work needs a positive number"),
        ("work=nan", "work needs a positive number"),
        ("bytes=1T", "bytes needs a positive number"),
        ("bytes=2G", "bytes is at most 2139095040: no request holds more"),
        ("bytes=99999999999999999999", "bytes needs a positive number"),
    ],
)
def test_wrong_setting_is_refused(setting: str, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        DEFAULT_LIMITS.with_settings([setting])


def test_limits_travel_in_the_environment() -> None:
    limits = DEFAULT_LIMITS.with_settings(["work=7.5", "bytes=3M", "streams=2"])
    assert VideoLimits.from_environment({VARIABLE: limits.settings(), "HOME": "/"}) == limits
    assert VideoLimits.from_environment({VARIABLE: ""}) == VideoLimits.from_environment({}) == DEFAULT_LIMITS
    with pytest.raises(InvalidRequest, match="'colour' is unknown"):
        VideoLimits.from_environment({VARIABLE: "work=7 colour=3"})


def _streams(folder: Path, clip: Path, count: int) -> Path:
    path = folder / f"streams{clip.suffix}"
    with av.open(str(clip)) as container, av.open(str(path), "w") as out:
        copies = [out.add_stream_from_template(container.streams.video[0]) for _ in range(count)]
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for packet in packets:
            for copy in copies:
                twin = av.Packet(bytes(packet))
                twin.stream, twin.pts, twin.dts, twin.time_base = copy, packet.pts, packet.dts, packet.time_base
                twin.is_keyframe = packet.is_keyframe
                out.mux(twin)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_streams_are_counted_and_the_best_is_decoded(write_clip: Write, tmp_path: Path, suffix: str) -> None:
    clip = write_clip(10, suffix=suffix, options={"bf": "0"})
    path = _streams(tmp_path, clip, 17)
    with pytest.raises(InvalidVideo, match="17 video streams, the limit is 16: keep only the one to find"):
        decode(path, PROFILE)
    assert np.array_equal(decode(_streams(tmp_path, clip, 3), PROFILE).frames, decode(clip, PROFILE).frames)


OVER = {
    "bytes": VideoLimits(max_bytes=1000),
    "seconds": VideoLimits(max_seconds=1.3),
    "side": VideoLimits(max_side=63),
    "pixels": VideoLimits(max_pixels=3000),
    "aspect": VideoLimits(max_aspect=1),
    "packets": VideoLimits(max_packets=59),
    "work": VideoLimits(max_work=1e-4),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("name", OVER)
def test_refusal_names_a_setting_that_would_do(write_clip: Write, name: str, suffix: str) -> None:
    path, limits = write_clip(60, suffix=suffix), OVER[name]
    for _ in range(3):
        with pytest.raises(InvalidVideo) as caught:
            decode(path, PROFILE, limits)
        found = SETTING.search(str(caught.value))
        assert found is not None
        assert found[1].startswith(f"{name}=")
        limits = limits.with_settings([found[1]])
        try:
            assert decode(path, PROFILE, limits).frame_count == 60
        except InvalidVideo:
            # What it takes in all was not known when the first limit was met.
            continue
        return
    pytest.fail("three settings in a row were too low")


def test_every_limit_has_a_refusal() -> None:
    assert {*OVER, "streams", "memory"} == {field.name.removeprefix("max_") for field in fields(VideoLimits)}


@pytest.fixture
def slow(write_jpeg2000: Write) -> Path:
    """A small file that takes long: a few million pixels a second are decoded."""
    return write_jpeg2000((128, 96), 30)


def test_slow_video_is_refused_before_it_has_taken_its_time(
    slow: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, taken = FrameProfile(count=30, size=16), 30 * 128 * 96 / SLOW
    limits = VideoLimits(max_work=2 * taken)
    with pytest.raises(InvalidVideo, match=r"s of work, the limit is [\d.]+ s for a video slower than 40 megapixels"):
        decode(slow, profile, work=(late := Paced(limits, clock, SLOW)))
    assert late.spent < 0.8 * taken
    monkeypatch.setattr(work_module, "_JUDGED_AFTER_S", taken / 20)
    with pytest.raises(InvalidVideo, match=r"the video would take about [\d.]+ s of work, the limit is") as caught:
        decode(slow, profile, work=(early := Paced(limits, clock, SLOW)))
    assert early.spent < 0.4 * taken
    found = SETTING.search(str(caught.value))
    assert found is not None
    enough = Paced(limits.with_settings([found[1]]), clock, SLOW)
    assert decode(slow, profile, work=enough).frame_count == 30
    assert enough.spent > taken / 2


def test_fast_video_may_take_longer(write_clip: Write, write_jpeg2000: Write, clock: Clock) -> None:
    """The time in which many pixels are decoded is too long for few."""
    fast = write_clip(40, size=(640, 480), options={"g": "250", "preset": "ultrafast"})
    # The middle one is chosen, and decoded with those before it.
    by_fast = 20 * 640 * 480 / FAST
    count = round(1.5 * by_fast * SLOW / (128 * 96))
    limits = VideoLimits(max_work=3 * by_fast)
    assert decode(fast, FrameProfile(count=1, size=16), work=Paced(limits, clock, FAST)).frame_count == 40
    slow, profile = write_jpeg2000((128, 96), count), FrameProfile(count=count, size=16)
    with pytest.raises(InvalidVideo, match="slower than 40 megapixels"):
        decode(slow, profile, work=Paced(limits, clock, SLOW))


def test_only_chosen_pictures_of_slow_codecs_are_decoded(slow: Path, clock: Clock) -> None:
    work = Paced(DEFAULT_LIMITS, clock, SLOW)
    assert decode(slow, FrameProfile(count=1, size=16), work=work).frame_count == 30
    assert 0 < clock.now < 30 * 128 * 96 / SLOW / 5
