"""Films of clips one after another, each from a key frame on, for tests of segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np

from framesift.export.corpus.shapes import FRAME_RATE

Picture = np.ndarray


def pictures(clip: Path) -> list[Picture]:
    """All pictures of a clip."""
    with av.open(str(clip)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def write_film(path: Path, scenes: Iterable[Sequence[Picture]], rate: int = FRAME_RATE, crf: int = 20) -> list[float]:
    """Write scenes one after another and return when each begins, and the end, in seconds."""
    begins, number = [], 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"bf": "2", "crf": str(crf), "preset": "veryfast"})
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for scene in scenes:
            begins.append(number / rate)
            for place, picture in enumerate(scene):
                if not number:
                    stream.height, stream.width = picture.shape[:2]
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.pict_type = number, 1 if place == 0 else 0
                number += 1
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return [*begins, number / rate]


def lasting(scene: Sequence[Picture], count: int) -> list[Picture]:
    """A scene in so many pictures, some shown again or left out."""
    return [scene[place * len(scene) // count] for place in range(count)]
