"""Time is counted on content: where a clock starts doesn't matter, nor do its jumps, but pauses do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.limits import VideoLimits

Write = Callable[..., Path]
PROFILE = FrameProfile(count=100, size=16, missing="mask")
OPTIONS = {"libx264": {"g": "12", "bf": "2"}, "libx265": {"x265-params": "log-level=none:keyint=12"}}


def _shifted(path: Path, seconds: float) -> bytes:
    """The file with all of its times later."""
    moved = path.with_name(f"moved{path.suffix}")
    with av.open(str(path)) as container, av.open(str(moved), "w") as out:
        source = container.streams.video[0]
        stream = out.add_stream_from_template(source)
        for packet in container.demux(source):
            if packet.size:
                packet.stream = stream
                packet.pts += int(seconds / source.time_base)
                packet.dts += int(seconds / source.time_base)
                out.mux(packet)
    return moved.read_bytes()


def _lasting(path: Path, seconds: float, container: Mapping[str, str]) -> bytes:
    """The file with a last packet of so many seconds."""
    moved = path.with_name(f"lasting{path.suffix}")
    with av.open(str(path)) as file, av.open(str(moved), "w", options=dict(container)) as out:
        source = file.streams.video[0]
        stream = out.add_stream_from_template(source)
        packets = [packet for packet in file.demux(source) if packet.size]
        packets[-1].duration = int(seconds / source.time_base)
        for packet in packets:
            packet.stream = stream
            out.mux(packet)
    return moved.read_bytes()


def _check_steady(raw: bytes, count: int) -> None:
    video = decode(raw, PROFILE)
    assert video.frame_count == count
    assert video.duration == pytest.approx(count / 25, abs=0.02)
    assert np.allclose(video.timestamps[:count], np.arange(count) / 25, atol=0.02)


JUMPS = {
    "hours ahead": (0, 60000),
    "half a minute ahead": (0, 30),
    "back to the start": (0, 0),
    "a little back": (100, 99),
    "far back": (50000, 3),
    "ahead and back": (0, 7000, 20),
    "again and again": (0, 100, 0, 100, 0),
    "over the end of the clock": (95_443.3,),
}


@pytest.mark.parametrize("starts", JUMPS.values(), ids=JUMPS.keys())
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".ts", "libx264"), (".ts", "libx265"), (".ts", "mpeg2video"), (".mpg", "mpeg2video")],
    ids=["TS", "TS, HEVC", "TS, MPEG-2", "MPEG program stream"],
)
def test_jumps_of_the_clock_are_closed(write_clip: Write, suffix: str, codec: str, starts: tuple[float, ...]) -> None:
    path = write_clip(20, suffix=suffix, codec=codec, options=OPTIONS.get(codec, {"g": "12"}))
    _check_steady(b"".join(_shifted(path, start) for start in starts), 20 * len(starts))


@pytest.mark.parametrize("seconds", [3, 90_000, 1_000_000])
@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".ts", ".mp4", "fragments"])
def test_clock_that_starts_late_makes_no_long_video(write_clip: Write, suffix: str, seconds: int) -> None:
    container = {"movflags": "frag_keyframe+empty_moov"} if suffix == "fragments" else {}
    codec = "libvpx" if suffix == ".webm" else "libx264"
    path = write_clip(50, suffix=suffix.replace("fragments", ".mp4"), codec=codec, container=container)
    late = [40 * n + 1000 * seconds for n in range(50)]
    path = write_clip(50, suffix=path.suffix, codec=codec, container=container, milliseconds=late)
    _check_steady(path.read_bytes(), 50)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_only_absurd_pauses_are_jumps_in_files(write_clip: Write, suffix: str) -> None:
    def paused(seconds: int) -> Path:
        return write_clip(40, suffix=suffix, milliseconds=[40 * n + 1000 * seconds * (n >= 20) for n in range(40)])

    assert decode(paused(600), PROFILE).duration == pytest.approx(601.6, abs=0.1)
    assert decode(paused(60_000), PROFILE).duration == pytest.approx(1.6, abs=0.1)
    rare = write_clip(6, suffix=suffix, milliseconds=[n * 7_200_000 for n in range(6)])
    assert decode(rare, PROFILE, VideoLimits(max_seconds=1e6)).timestamps[5] == pytest.approx(36_000)
    with pytest.raises(InvalidVideo, match=r"the video lasts \d+ s, the limit is 14400 s: cut it into parts, or raise"):
        decode(rare, PROFILE)


LAST = {
    "MP4": (".mp4", {}),
    "MOV": (".mov", {}),
    "MP4 in fragments": (".mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "Matroska": (".mkv", {}),
}


@pytest.mark.parametrize(("suffix", "container"), LAST.values(), ids=LAST.keys())
def test_only_an_absurd_last_frame_is_a_jump(write_clip: Write, suffix: str, container: Mapping[str, str]) -> None:
    path = write_clip(25, suffix=suffix, options={"bf": "0"})
    _check_steady(_lasting(path, 20_000, container), 25)
    assert _picked(_lasting(path, 20_000, container)) == _picked(path.read_bytes()) == 1
    assert decode(_lasting(path, 600, container), PROFILE).duration == pytest.approx(600.96, abs=0.1)


def _picked(raw: bytes) -> int:
    """How many of twelve frames begin a second."""
    return int(decode(raw, FrameProfile(count=12, size=16, sampler="second_steps", missing="mask")).mask.sum())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("seconds", [4000, 20_000, 100_000])
def test_rate_is_that_of_the_closed_clock(write_clip: Write, suffix: str, seconds: int) -> None:
    jumped = [40 * n + 1000 * seconds * (n >= 12) for n in range(25)]
    raw = write_clip(25, suffix=suffix, milliseconds=jumped, options={"bf": "0"}).read_bytes()
    assert _picked(raw) == 1
    _check_steady(raw, 25)


def test_ticks_of_a_clock_are_no_frames(write_clip: Write) -> None:
    """An AVI whose clock ticks in milliseconds tells of a thousand frames a second."""
    times = [40 * n for n in range(250)]
    raw = write_clip(250, suffix=".avi", codec="mpeg4", rate=1000, milliseconds=times).read_bytes()
    assert _picked(raw) == 10
    assert decode(raw, PROFILE).duration == pytest.approx(10, abs=0.05)


def _without_rate(path: Path) -> bytes:
    """A Matroska file that doesn't say how long a frame lasts."""
    raw = path.read_bytes()
    assert raw.count(b"\x23\xe3\x83\x84") == 1
    return raw.replace(b"\x23\xe3\x83\x84", b"\xec\x86\0\0")


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_rate_is_measured_where_the_file_has_none(write_clip: Write, suffix: str) -> None:
    """A screen is recorded when it changes: frames are counted by the second all the same."""
    codec = "libvpx" if suffix == ".webm" else "libx264"
    times = np.cumsum(np.random.default_rng(0).integers(50, 780, 120)).tolist()
    path = write_clip(120, suffix=suffix, codec=codec, milliseconds=times)
    profile = FrameProfile(count=12, size=16, sampler="second_steps", missing="mask")
    video = decode(_without_rate(path), profile)
    rate = 119 / ((times[-1] - times[0]) / 1000)
    assert video.frame_count == 120
    assert video.mask.sum() == 12
    assert 1 < rate < 4
    # The last frame that starts a second: spread over all of the video, not over its first half.
    assert video.timestamps[-1] >= 0.95 * (times[-1] - times[0]) / 1000


def test_rate_of_the_file_is_taken_where_there_is_one(write_clip: Write) -> None:
    profile = FrameProfile(count=3, size=16, sampler="second_steps", missing="mask")
    path = write_clip(20, rate=Fraction(10), suffix=".mkv")
    assert decode(path, profile).mask.sum() == 2
