"""Small real videos, of every kind that the tests need."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..slow_videos import write_slow_video

MILLISECONDS = Fraction(1, 1000)
# Arguments of ``clip_writer``'s function by the kind of file that it writes then.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "MP4": {"options": {"g": "12", "bf": "2"}},
    "MP4 in fragments": {"options": {"g": "12"}, "container": {"movflags": "frag_keyframe+empty_moov"}},
    "HEVC": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12"}},
    "Matroska": {"suffix": ".mkv", "options": {"g": "12"}},
    "WebM": {"suffix": ".webm", "codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "TS": {"suffix": ".ts", "options": {"g": "12", "bf": "2"}},
    "AVI": {"suffix": ".avi", "codec": "mpeg4"},
    "FLV": {"suffix": ".flv", "options": {"g": "12"}},
    "MPEG": {"suffix": ".mpg", "codec": "mpeg2video"},
    "WMV": {"suffix": ".wmv", "codec": "wmv2"},
    "GIF": {"suffix": ".gif", "codec": "gif", "pixels": "rgb8", "rate": 10},
    "JPEG 2000": {"suffix": ".mov", "codec": "jpeg2000"},
}


@functools.lru_cache(4)
def _noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60, (height, width, 3)).astype(np.uint8)


def _picture(number: int, width: int, height: int) -> np.ndarray:
    """A picture that differs from all others: a moving bar and a moving yellow gradient over fixed noise."""
    ramp = ((np.arange(width)[None, :, None] * 2 + number * 9) % 190).astype(np.uint8)
    picture = _noise(width, height) + ramp
    picture[..., 2] //= 4
    picture[:, (number * 3) % width] = 255
    return picture


def clip_writer(folder: Path) -> Callable[..., Path]:
    """What writes videos of numbered pictures into ``folder`` and returns their paths."""
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
        path = folder / f"clip{next(written)}{suffix}"
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


def jpeg2000_writer(folder: Path) -> Callable[..., Path]:
    """What writes one picture of noise many times over, which takes long to decode, and returns the file's path."""

    def write(size: tuple[int, int], count: int, suffix: str = ".mkv") -> Path:
        return write_slow_video(folder / f"noise{suffix}", size, count)

    return write
