"""What a video may cost: limits that keep one upload from taking a server's memory, or hours of its time.

All of them stand here. A server's are set with ``framesift serve --video-limit NAME=VALUE``, where NAME is a field of
``VideoLimits`` without ``max_``, or by the variable below; every refusal names the one to raise.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NoReturn

from ..checks import check_video_bytes
from ..errors import InvalidRequest, InvalidVideo
from ..limits import MAX_REQUEST_BYTES, MAX_VIDEO_BYTES

# Environment variable of the processes that serve: settings as ``with_settings`` takes them, with blanks between.
VARIABLE = "FRAMESIFT_VIDEO_LIMITS"
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_VALUE = re.compile(r"(\d+(?:\.\d+)?)([KMG]?)")


@dataclass(frozen=True)
class VideoLimits:
    """The largest video that is decoded. A video over any limit is refused with an error that names it.

    Attributes:
        max_bytes: of the file.
        max_seconds: from the first frame to the end of the last. Where a clock starts doesn't count, nor do its jumps.
        max_side: width or height of a frame, in pixels.
        max_pixels: of a frame; 8192x4320, the largest of cameras.
        max_aspect: of a frame's longer side to its shorter one, which resizing keeps.
        max_packets: of the video stream, about as many as frames.
        max_streams: video streams in the file, of which one is decoded.
        max_work: seconds of processor time for one video. A quarter of it for what decodes slower than any usual
            codec (``work.PACE``), so that such a file is seen for what it is within seconds.
        max_memory: bytes that decoding may take, above what an idle decoder holds.
    """

    max_bytes: int = MAX_VIDEO_BYTES
    max_seconds: float = 4 * 3600.0
    max_side: int = 8192
    max_pixels: int = 8192 * 4320
    max_aspect: int = 32
    max_packets: int = 1_000_000
    max_streams: int = 16
    max_work: float = 56.0
    max_memory: int = 480 * 2**20

    def with_settings(self, settings: Iterable[str]) -> VideoLimits:
        """These limits with some of them changed, each written ``NAME=VALUE``; K, M and G stand for powers of 1024.

        Raises:
            InvalidRequest: an unknown name, a value that is no positive number, or more bytes than a request holds.
        """
        changed: dict[str, Any] = dict(map(_setting, settings))
        limits = replace(self, **changed)
        if limits.max_bytes > MAX_REQUEST_BYTES:
            raise InvalidRequest(f"the video limit bytes is at most {MAX_REQUEST_BYTES}: no request holds more")
        return limits

    def settings(self) -> str:
        """These limits as ``from_environment`` reads them."""
        return " ".join(f"{_name(field)}={value}" for field, value in asdict(self).items())

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> VideoLimits:
        """What the variable ``VARIABLE`` says; the default of each limit that it doesn't name.

        Raises:
            InvalidRequest: as ``with_settings``.
        """
        return VideoLimits().with_settings(environment.get(VARIABLE, "").split())

    def check_bytes(self, size: int) -> None:
        """Refuse a file of more than ``max_bytes``."""
        check_video_bytes(size, self.max_bytes)

    def check_frame(self, width: int, height: int) -> None:
        """Refuse frames that are too large or too slender, or have no size."""
        size, smaller = f"the video's frames are {width}x{height}", "make them smaller"
        long, short = max(width, height), min(width, height)
        if short < 1:
            raise InvalidVideo(f"{size}: nothing to see")
        if long > self.max_side:
            self._refuse(f"{size}, the limit is {self.max_side} pixels on a side", smaller, "side", long)
        if long * short > self.max_pixels:
            self._refuse(f"{size}, the limit is {self.max_pixels} pixels in a frame", smaller, "pixels", long * short)
        if long > self.max_aspect * short:
            ratio = f"{size}, the limit is an aspect ratio of {self.max_aspect}:1"
            self._refuse(ratio, "crop them", "aspect", math.ceil(long / short))

    def check_seconds(self, seconds: float) -> None:
        """Refuse a video that lasts longer than ``max_seconds``."""
        if seconds > self.max_seconds:
            told = f"the video lasts {seconds:.0f} s, the limit is {self.max_seconds:.0f} s"
            self._refuse(told, "cut it into parts", "seconds", math.ceil(seconds))

    def check_packets(self, packets: int) -> None:
        """Refuse a video of more than ``max_packets``."""
        if packets > self.max_packets:
            told = f"the video has {packets} packets or more, the limit is {self.max_packets}"
            self._refuse(told, "cut it into parts", "packets", packets)

    def check_streams(self, streams: int) -> None:
        """Refuse a file of more than ``max_streams``."""
        if streams > self.max_streams:
            told = f"the file has {streams} video streams, the limit is {self.max_streams}"
            self._refuse(told, "keep only the one to find", "streams", streams)

    def refuse_work(self, told: str, needed: float) -> NoReturn:
        """Refuse a video that needs more processor time than ``max_work``, or its share of it, allows.

        Args:
            told: what was found.
            needed: the ``max_work`` that would do.
        """
        self._refuse(told, "convert it to H.264 with a keyframe every few seconds", "work", math.ceil(needed))

    def refuse_memory(self) -> NoReturn:
        """Refuse a video that needs more than ``max_memory``."""
        told = f"the video takes more than {self.max_memory >> 20} MB to decode"
        self._refuse(told, "convert it to smaller frames", "memory", f"{self.max_memory >> 19}M")

    @staticmethod
    def _refuse(told: str, remedy: str, name: str, enough: object) -> NoReturn:
        raise InvalidVideo(f"{told}: {remedy}, or raise the limit: framesift serve --video-limit {name}={enough}")


DEFAULT_LIMITS = VideoLimits()


def _name(field: str) -> str:
    return field.removeprefix("max_")


_FIELDS = {_name(field.name): field for field in fields(VideoLimits)}


def _setting(written: str) -> tuple[str, float]:
    name, _, value = written.partition("=")
    if name not in _FIELDS:
        raise InvalidRequest(f"the video limit {name!r} is unknown, known: {', '.join(_FIELDS)}")
    found = _VALUE.fullmatch(value)
    number = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < number < 2**63:
        raise InvalidRequest(f"the video limit {name} needs a positive number, such as 120 or 512M, not {value!r}")
    field = _FIELDS[name]
    return field.name, number if field.type == "float" else int(number)
