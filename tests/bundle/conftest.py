"""Small real videos, written when a test asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

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
