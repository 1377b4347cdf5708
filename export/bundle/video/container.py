"""Opening a video with FFmpeg, so that what the file says can't make FFmpeg open anything else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..errors import InvalidVideo
from .encryption import is_encrypted
from .limits import VideoLimits
from .matroska import read_matroska
from .mp4 import read_mp4
from .source import Source, View, readable
from .still import read_still
from .structure import Matrix, Structure
from .work import Work

# Containers that hold their own data. Playlists (HLS, DASH, concat) name other files and addresses: not here.
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_OTHERS = "matroska,webm,avi,flv,mpegts,mpeg,asf,ogg,gif"
_NAMES = "MP4, MOV, WebM, MKV, AVI, FLV, TS, MPEG, WMV, OGG, GIF, and the images PNG, JPEG and WebP"
# What cameras, encoders and editors write. FFmpeg has a hundred more, of games and of forgotten formats.
_DECODERS = frozenset(
    (
        *("h264", "hevc", "vvc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9"),
        *("mpeg1video", "mpeg2video", "mpegvideo", "mpeg4", "h261", "h263", "h263i", "h263p", "cavs", "dirac"),
        *("msmpeg4", "msmpeg4v1", "msmpeg4v2", "wmv1", "wmv2", "wmv3", "vc1", "mss1", "mss2", "msvideo1", "msrle"),
        *("flv", "vp6", "vp6a", "vp6f", "flashsv", "flashsv2", "theora", "vp3", "svq1", "svq3", "rpza", "smc", "qtrle"),
        *("cinepak", "indeo2", "indeo3", "indeo4", "indeo5", "8bps", "tscc", "tscc2", "camtasia", "zmbv", "gif"),
        *("mjpeg", "mjpegb", "jpeg2000", "png", "webp", "prores", "prores_raw", "dnxhd", "cfhd", "hap", "dvvideo"),
        *("ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "lagarith", "cllc", "rawvideo", "v210", "v308", "v408"),
        *("v410", "r210", "r10k", "yuv4", "y41p"),
    )
)
_ENCRYPTED = "the file's video is encrypted: decrypt it first, framesift has no keys"
_READ_AHEAD = 1 << 18
# FFmpeg opens this many streams at most, subtitles and fonts among them.
_MAX_STREAMS = 256
# Before version 19 PyAV stops at metadata that isn't UTF-8.
_LENIENT: Mapping[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


class VideoFile:
    """An opened video and the stream to decode.

    Attributes:
        container: the file.
        stream: its best video stream.
        truncated: whether the file ends before it says that it ends.
        matrix: how its pictures are turned and mirrored for display; None if not at all.
        work: what it has taken so far.
    """

    def __init__(self, reopen: Callable[[], InputContainer], place: int | None, truncated: bool, work: Work) -> None:
        self._reopen, self._place = reopen, place
        self.container = reopen()
        self.stream = _moving(self.container, place)
        self.truncated, self.work = truncated, work
        self.matrix: Matrix | None = None
        self.context = _opened(self.stream, work.limits)
        self._used = False
        self._again: InputContainer | None = None

    def demux(self, *, again: bool) -> Iterator[Packet[VideoStream]]:
        """The stream's packets: the first time those of ``container``, later those of the file opened ``again``."""
        if not again:
            return self.container.demux(self.stream)
        container, stream = self.reopened()
        return container.demux(stream)

    def reopened(self) -> tuple[InputContainer, VideoStream]:
        """The file opened again, and the stream to decode; what was opened so before is closed."""
        if self._again is not None:
            self._again.close()
        self._again = self._reopen()
        return self._again, _moving(self._again, self._place)

    def decoder(self) -> VideoCodecContext:
        """A decoder for the stream, on one thread, that has not seen any of it: at first it is ``context``."""
        fresh = _opened(_moving(self._reopen(), self._place), self.work.limits) if self._used else self.context
        self._used = True
        return fresh


@contextmanager
def open_video(source: Source, work: Work) -> Iterator[VideoFile]:
    """Open a video's best video stream.

    Raises:
        InvalidVideo: not readable, not a video, without a video stream or an index, encrypted, or over a limit.
    """
    with ExitStack() as stack:
        data = stack.enter_context(readable(source))
        size = data.seek(0, os.SEEK_END)
        if size == 0:
            raise InvalidVideo("the file is empty")
        work.limits.check_bytes(size)
        structure = _structure(data, size, work)
        try:
            yield _Opener(data, size, structure, work, stack).video()
        except InvalidVideo as error:
            if is_encrypted(data):
                raise InvalidVideo(_ENCRYPTED) from error
            raise


def _structure(data: BinaryIO, size: int, work: Work) -> Structure:
    """What the file says of itself in front; nothing, of formats that FFmpeg alone knows."""
    for read in (read_still, read_mp4, read_matroska):
        if (found := read(data, size, work)) is not None:
            return found
    return Structure()


class _Opener:
    def __init__(self, data: BinaryIO, size: int, structure: Structure, work: Work, stack: ExitStack) -> None:
        self._data, self._size, self._structure, self._work, self._stack = data, size, structure, work, stack
        self._mask = dict(structure.mask)

    def video(self) -> VideoFile:
        videos = self._structure.videos
        chosen = 0 if len(videos) == 1 else self._look()
        track = videos[chosen] if videos else None
        if track is not None and track.encrypted:
            raise InvalidVideo(_ENCRYPTED)
        for other in videos:
            if other is not track:
                self._mask.update(other.mask)
        # Of an MP4 only the chosen track is left to see.
        place = chosen if videos and not self._structure.mp4 else None
        video = VideoFile(self._open, place, self._structure.truncated, self._work)
        video.matrix = None if track is None else track.matrix
        return video

    def _look(self) -> int:
        """Which of its video streams to decode, found without decoding any."""
        container = self._open({"skip_frame": "all"})
        self._work.limits.check_streams(len(container.streams.video))
        return container.streams.video.index(_moving(container, None))

    def _open(self, options: Mapping[str, str] | None = None) -> InputContainer:
        # FFmpeg guesses by the first megabyte, in which an MP4 may have nothing but a camera's box. What has no video
        # track may be a MOV wrapped around an MPEG program stream, which FFmpeg's guess tells.
        known = self._structure.mp4 and bool(self._structure.videos)
        formats = self._structure.still or (f"{_MP4},{_OTHERS}" if self._structure.mp4 else _OTHERS)
        try:
            container: InputContainer = av.open(
                View(self._data, self._size, self._mask, self._work),
                mode="r",
                format=_MP4.partition(",")[0] if known else None,
                container_options={
                    "format_whitelist": formats,
                    "protocol_whitelist": "none",
                    "codec_whitelist": ",".join(sorted(_DECODERS)),
                    "max_streams": str(_MAX_STREAMS),
                },
                # Probing decodes a frame where a header is silent about its size.
                options={"max_pixels": str(self._work.limits.max_pixels), **(options or {})},
                buffer_size=_READ_AHEAD,
                io_open=_refuse,
                **_LENIENT,
            )
        except MemoryError:
            raise
        except av.FFmpegError as error:
            if self._structure.truncated:
                raise InvalidVideo("the file is truncated: its header or index is incomplete") from error
            fault = "of an unknown or unsupported format" if isinstance(error, ValueError) else "damaged or not a video"
            raise InvalidVideo(f"the file is {fault}; these are read: {_NAMES}") from error
        return self._stack.enter_context(container)


def _refuse(url: str, flags: int, options: dict[str, str]) -> BinaryIO:
    raise PermissionError(f"a video may not open {url}")


def _opened(stream: VideoStream, limits: VideoLimits) -> VideoCodecContext:
    """A stream's decoder, opened for decoding on one thread."""
    context = stream.codec_context
    if context is None or context.name not in _DECODERS:
        name = "of an unknown codec" if context is None else context.name
        raise InvalidVideo(f"the file's video is {name}, which is not read: convert it to H.264")
    limits.check_frame(context.width, context.height)
    context.thread_count = 1
    context.options = {"max_pixels": str(limits.max_pixels)}
    try:
        context.open(strict=False)
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise InvalidVideo(f"its {context.name} video can't be decoded: {error.strerror}") from error
    return context


def _moving(container: InputContainer, place: int | None) -> VideoStream:
    """The video stream at a place among all; or the best one that is no cover picture."""
    if place is not None and place < len(container.streams.video):
        return container.streams.video[place]
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = sorted({"a cover picture" if s.type == "video" else s.type for s in container.streams})
        raise InvalidVideo(f"the file has no video stream, only {' and '.join(kinds) or 'an empty container'}")
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in moving else moving[0]
