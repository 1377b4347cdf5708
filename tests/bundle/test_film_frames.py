"""Whole films: which frames and which pixels, against FFmpeg's own filters, as HowTo100M's extractor calls them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.passed import layout
from framesift.export.bundle.video.sampling import each_second, film_rate
from framesift.export.bundle.video.sandbox import Sandbox

Write = Callable[..., Path]
SECONDS = FrameProfile(100, 224, "each_second", "ffmpeg_bicubic", crop="none", missing="none")
CLIPS = FrameProfile(1600, 112, "film_rate", "ffmpeg_bicubic", missing="none", together=16)


def filtered(total: int, rate: Fraction, wanted: int) -> list[int]:
    """The frames, by their numbers, that FFmpeg's filter ``fps`` gives of a film."""
    graph, base = Graph(), 1 / rate
    source = graph.add_buffer(width=16, height=16, format="gray", time_base=base)
    fps, sink = graph.add("fps", f"fps={wanted}"), graph.add("buffersink")
    source.link_to(fps)
    fps.link_to(sink)
    graph.configure()
    for number in range(total):
        picture = np.zeros((16, 16), np.uint8)
        picture[0, :2] = divmod(number, 256)
        frame = av.VideoFrame.from_ndarray(picture, format="gray")
        frame.pts, frame.time_base, frame.duration = number, base, 1
        graph.push(frame)
    graph.push(None)
    found = []
    while True:
        try:
            high, low = graph.pull().to_ndarray()[0, :2].tolist()
        except (av.BlockingIOError, av.EOFError):
            return found
        found.append(256 * high + low)


@pytest.mark.parametrize(
    "rate", ["25", "30", "30000/1001", "24000/1001", "15", "60", "24", "1", "10", "25/2", "997/100"]
)
@pytest.mark.parametrize("total", [13, 40, 77, 301])
def test_frames_are_those_of_ffmpegs_filter(total: int, rate: str) -> None:
    frames = Fraction(rate)
    for wanted, rule in ((1, each_second), (24, film_rate)):
        assert rule(total, float(frames), 10_000) == (filtered(total, frames, wanted) or [total - 1])


def test_of_a_long_film_there_are_no_more_than_asked_for() -> None:
    assert each_second(2500, 25.0, 7) == each_second(2500, 25.0, 1000)[:7]


@pytest.mark.parametrize("size", [(320, 180), (180, 322), (500, 374), (112, 224)])
def test_pixels_are_those_of_the_authors_command(write_clip: Write, size: tuple[int, int]) -> None:
    command = shutil.which("ffmpeg")
    if command is None:
        pytest.skip("ffmpeg is not installed")
    path = write_clip(60, size, options={"g": "12"})
    width, height = size
    for profile, rate in ((SECONDS, 1), (CLIPS, 24)):
        side = profile.size
        sides = (side, int(height * side / width)) if height >= width else (int(width * side / height), side)
        filters = f"fps=fps={rate},scale={sides[0]}:{sides[1]}:flags=bicubic"
        if profile is CLIPS:
            corner = [int((n - side) / 2.0) for n in sides]
            filters += f",crop={side}:{side}:{corner[0]}:{corner[1]}"
            sides = side, side
        options = ["-v", "error", "-i", str(path), "-vf", filters, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        run = subprocess.run([command, *options], capture_output=True, check=True)
        want = np.frombuffer(run.stdout, np.uint8).reshape(-1, sides[1], sides[0], 3).transpose(0, 3, 1, 2)
        found = decode(path, profile)
        np.testing.assert_array_equal(found.frames, want)
        assert found.mask.all()
        assert len(found.timestamps) == len(want)


def test_a_sandbox_gives_the_same_whatever_the_number_and_size(write_clip: Write) -> None:
    with Sandbox() as sandbox:
        for size, count in (((320, 180), 60), ((64, 80), 10), ((640, 100), 90)):
            path = write_clip(count, size)
            for profile in (SECONDS, CLIPS):
                alone, inside = decode(path, profile), sandbox.decode(path, profile)
                np.testing.assert_array_equal(inside.frames, alone.frames)
                np.testing.assert_array_equal(inside.timestamps, alone.timestamps)
                assert inside.duration == alone.duration


@pytest.mark.parametrize(
    "told",
    [
        [2, 3, 223, 300],
        [2, 4, 224, 300],
        [101, 3, 224, 224],
        [0, 3, 224, 224],
        [2, 3, 224],
        [2, 3, -224, 224],
        ["2"] * 4,
    ],
)
def test_a_decoder_that_a_film_has_taken_over_can_not_ask_for_anything(told: list) -> None:
    with pytest.raises(InvalidVideo, match="the decoder's pictures have the shape"):
        layout(SECONDS, told)
    assert layout(SECONDS, [2, 3, 224, 300])[0].shape == (2, 3, 224, 300)
    with pytest.raises(InvalidVideo):
        layout(FrameProfile(), [11, 3, 224, 224])
