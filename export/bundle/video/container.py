"""Opening a video with FFmpeg, so that what the file says can't make FFmpeg open anything else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import InvalidVideo
from .header import is_truncated
from .limits import VideoLimits

# Containers that hold their own data. Playlists (HLS, DASH, concat) name other files and addresses: not here.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,asf,ogg,gif"
_NAMES = "MP4, MOV, WebM, MKV, AVI, FLV, TS, MPEG, WMV, OGG, GIF"
_READ_AHEAD = 1 << 18


@dataclass(frozen=True)
class VideoFile:
    """An opened video: its container, the stream to decode, and whether the file ends before it should."""

    container: InputContainer
    stream: VideoStream
    truncated: bool


@contextmanager
def open_video(source: bytes | Path, limits: VideoLimits) -> Iterator[VideoFile]:
    """Open a video's best video stream, decoding on one thread.

    Raises:
        InvalidVideo: not readable, not a video, without a video stream or an index, or over a limit.
    """
    with ExitStack() as stack:
        data = stack.enter_context(_readable(source))
        size = data.seek(0, os.SEEK_END)
        if size == 0:
            raise InvalidVideo("the file is empty")
        limits.check_bytes(size)
        truncated = is_truncated(data, size, limits)
        data.seek(0)
        container = stack.enter_context(_open(data, truncated, limits))
        if container.duration is not None:
            limits.check_seconds(container.duration / av.time_base)
        stream = _video_stream(container)
        context = stream.codec_context
        limits.check_frame(context.width, context.height)
        context.thread_count = 1
        context.options = {"max_pixels": str(limits.max_pixels)}
        try:
            context.open(strict=False)
        except av.FFmpegError as error:
            raise InvalidVideo(f"its {context.name} video can't be decoded: {error.strerror}") from error
        yield VideoFile(container, stream, truncated)


def _readable(source: bytes | Path) -> BinaryIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise InvalidVideo(f"{source} is not a file")
        return source.open("rb")
    except OSError as error:
        raise InvalidVideo(f"{source} can't be read: {error.strerror}") from error


def _open(data: BinaryIO, truncated: bool, limits: VideoLimits) -> InputContainer:
    try:
        return av.open(
            data,
            mode="r",
            container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "none"},
            # Probing decodes a frame where a header is silent about its size.
            options={"max_pixels": str(limits.max_pixels)},
            buffer_size=_READ_AHEAD,
            metadata_errors="replace",
            io_open=_refuse,
        )
    except av.FFmpegError as error:
        if truncated:
            raise InvalidVideo("the file is truncated: its header or index is incomplete") from error
        fault = "of an unknown or unsupported format" if isinstance(error, ValueError) else "damaged or not a video"
        raise InvalidVideo(f"the file is {fault}; these are read: {_NAMES}") from error


def _refuse(url: str, flags: int, options: dict[str, str]) -> BinaryIO:
    raise PermissionError(f"a video may not open {url}")


def _video_stream(container: InputContainer) -> VideoStream:
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = sorted({"a cover picture" if s.type == "video" else s.type for s in container.streams})
        raise InvalidVideo(f"the file has no video stream, only {' and '.join(kinds) or 'an empty container'}")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    if stream.codec_context is None:
        raise InvalidVideo("no decoder for the file's video stream")
    return stream
