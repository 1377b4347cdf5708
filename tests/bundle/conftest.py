"""Small real videos, written when a test asks for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.video.sandbox import Sandbox

from ..slow_videos import write_slow_video
from .watching import Watched

MILLISECONDS = Fraction(1, 1000)


def _picture(number: int, width: int, height: int) -> np.ndarray:
    """A picture that differs from all others: a moving bar and a moving yellow gradient over fixed noise."""
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    ramp = (np.arange(width)[None, :, None] * 2 + number * 9) % 190
    picture = (noise + ramp).astype(np.uint8)
    picture[..., 2] //= 4
    picture[:, (number * 3) % width] = 255
    return picture


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a video of numbered pictures and return its path."""
    written: Iterator[int] = iter(range(1000))

    def write(
        count: int = 60,
        size: tuple[int, int] = (64, 48),
        suffix: str = ".mp4",
        codec: str = "libx264",
        options: Mapping[str, str] | None = None,
        container: Mapping[str, str] | None = None,
        milliseconds: Sequence[int] | None = None,
        pixels: str = "yuv420p",
        rate: int | Fraction = 25,
    ) -> Path:
        path = tmp_path / f"clip{next(written)}{suffix}"
        with av.open(str(path), "w", options=dict(container or {})) as out:
            stream = out.add_stream(codec, rate=rate, options=dict(options or {}))
            stream.width, stream.height = size
            stream.pix_fmt = pixels
            if milliseconds is not None:
                stream.codec_context.time_base = MILLISECONDS
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(_picture(number, *size), format="rgb24")
                if milliseconds is not None:
                    frame.pts, frame.time_base = milliseconds[number], MILLISECONDS
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def write_jpeg2000(tmp_path: Path) -> Callable[..., Path]:
    """Write a video that takes long to decode, and return its path."""

    def write(size: tuple[int, int], count: int, suffix: str = ".mkv") -> Path:
        return write_slow_video(tmp_path / f"noise{suffix}", size, count)

    return write


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Sandbox() as sandbox:
        found = Watched(sandbox)
        yield found
        found.stop()


@pytest.fixture
def ffmpeg() -> Callable[..., np.ndarray]:
    """Every frame of a file as the installed ``ffmpeg`` shows it: RGB, uint8 [N, H, W, 3], of a given size."""
    command = shutil.which("ffmpeg")
    if command is None:
        pytest.skip("ffmpeg is not installed")

    def shown(path: Path, width: int, height: int) -> np.ndarray:
        options = ["-v", "error", "-i", str(path), "-vsync", "0", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        run = subprocess.run([command, *options], capture_output=True, check=True)
        return np.frombuffer(run.stdout, np.uint8).reshape(-1, height, width, 3)

    return shown
