"""Small files that take long to decode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_slow_video(path: Path, size: tuple[int, int], count: int) -> Path:
    """Write the same picture of noise many times over, in JPEG 2000: a core decodes about 5 megapixels a second of it.

    Args:
        size: width and height in pixels.
        count: frames.
    """
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    encoder = av.CodecContext.create("jpeg2000", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "rgb24", Fraction(1, 25)
    data = b"".join(
        bytes(packet)
        for frame in (av.VideoFrame.from_ndarray(noise, format="rgb24"), None)
        for packet in encoder.encode(frame)
    )
    with av.open(str(path), "w") as out:
        stream = out.add_stream("jpeg2000", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        for number in range(count):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            out.mux(packet)
    return path
