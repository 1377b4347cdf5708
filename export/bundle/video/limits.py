"""What a video may cost: limits that keep one upload from taking a server's memory, or hours of its time."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import check_video_bytes
from ..errors import InvalidVideo
from ..limits import MAX_VIDEO_BYTES


@dataclass(frozen=True)
class VideoLimits:
    """The largest video that is decoded. A video over any limit is refused with an error that names it.

    ``max_bytes`` is of the file; ``max_side`` and ``max_pixels`` of a frame; ``max_aspect`` of its longer side to its
    shorter one, which resizing keeps; ``max_seconds`` of duration; ``max_packets`` of the video stream, about as many
    as frames. ``max_decoded_pixels`` counts all frames that must be decoded to reach the wanted ones. It is about
    ninety seconds of one core, less than a server waits before it takes a decoder for hung, and only a long video with
    hardly a keyframe comes near.
    """

    max_bytes: int = MAX_VIDEO_BYTES
    max_side: int = 8192
    max_pixels: int = 4096 * 2304
    max_aspect: int = 32
    max_seconds: float = 4 * 3600.0
    max_packets: int = 1_000_000
    max_decoded_pixels: int = 15 * 10**9

    def check_bytes(self, size: int) -> None:
        """Refuse a file of more than ``max_bytes``."""
        check_video_bytes(size, self.max_bytes)

    def check_frame(self, width: int, height: int) -> None:
        """Refuse frames that are too large or too slender, or have no size."""
        size = f"the video's frames are {width}x{height}"
        if min(width, height) < 1:
            raise InvalidVideo(f"{size}: nothing to see")
        if max(width, height) > self.max_side:
            raise InvalidVideo(f"{size}, the limit is {self.max_side} pixels on a side")
        if width * height > self.max_pixels:
            raise InvalidVideo(f"{size}, the limit is {self.max_pixels} pixels in a frame")
        if max(width, height) > self.max_aspect * min(width, height):
            raise InvalidVideo(f"{size}, the limit is an aspect ratio of {self.max_aspect}:1")

    def check_seconds(self, seconds: float) -> None:
        """Refuse a video that lasts longer than ``max_seconds``."""
        if seconds > self.max_seconds:
            raise InvalidVideo(f"the video lasts {seconds:.0f} s, the limit is {self.max_seconds:.0f} s")

    def check_packets(self, packets: int) -> None:
        """Refuse a video of more than ``max_packets``."""
        if packets > self.max_packets:
            raise InvalidVideo(f"the video has {packets} packets or more, the limit is {self.max_packets}")

    def check_work(self, decoded: int, width: int, height: int) -> None:
        """Refuse to decode more than ``max_decoded_pixels`` for one video."""
        if decoded * width * height > self.max_decoded_pixels:
            raise InvalidVideo(
                f"{decoded} frames of {width}x{height} would have to be decoded, the limit is "
                f"{self.max_decoded_pixels} pixels: cut the video, or convert it to MP4 with more keyframes"
            )


DEFAULT_LIMITS = VideoLimits()
