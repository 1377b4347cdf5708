"""Small real videos, written when a test asks for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.video.sandbox import Sandbox

from .clips import clip_writer, jpeg2000_writer
from .watching import Watched


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a video of numbered pictures and return its path."""
    return clip_writer(tmp_path)


@pytest.fixture
def write_jpeg2000(tmp_path: Path) -> Callable[..., Path]:
    """Write the same picture of noise many times over, which takes long to decode, and return the file's path."""
    return jpeg2000_writer(tmp_path)


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
