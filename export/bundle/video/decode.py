"""From a video file to the frames that a video tower reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..errors import InvalidVideo
from ..limits import MAX_CLIP_BYTES
from ..manifest import FrameProfile
from .container import VideoFile, open_video
from .decoded_video import DecodedVideo
from .decoding import decode_all, decode_chosen
from .limits import DEFAULT_LIMITS, VideoLimits
from .packet_index import PacketIndex, read_index
from .part import Part
from .pictures import Pictures
from .profile import BY_FFMPEG, FEWER, check_profile, resize_crop, sample
from .resizing import Pixels
from .source import Source
from .work import Work

# A video of which some packets can't be decoded is used if this share of its frames comes out all the same.
_ENOUGH = 0.9
# Frames per second where neither the file nor its times tell.
_FALLBACK_RATE = 25.0

Seconds = npt.NDArray[np.float64]


def decode(
    source: Source, profile: FrameProfile, limits: VideoLimits = DEFAULT_LIMITS, work: Work | None = None
) -> DecodedVideo:
    """Decode the frames that ``profile`` chooses from a video, exactly as decoding all of it would give them.

    Pictures are turned and mirrored as the file's display matrix says (phones store upright videos lying down) and
    converted to RGB by the file's own colour space, as ``ffmpeg`` does it. Pixels that are not square are taken as
    square, as the published models do. Decodes on one thread, in this process: ``sandbox.Sandbox`` does it in another,
    which no file can harm.

    Args:
        source: the file's content, or its path.
        profile: how many frames, which, and their size.
        limits: the largest video to accept; its ``max_memory`` is the sandbox's to enforce.
        work: where the time that it takes is counted, if the caller does so.

    Raises:
        InvalidVideo: not a readable video, truncated before a chosen frame, damaged, encrypted, or over a limit.
        BundleError: a profile that ``check_profile`` refuses.
    """
    check_profile(profile)
    try:
        with open_video(source, work or Work(limits)) as video:
            return _Decoder(video, read_index(video), profile).decode()
    except MemoryError:
        limits.refuse_memory()


class Film:
    """An open film, of which parts are decoded: its packets are read once, and each part begins at the nearest entry.

    Args:
        source: the file's content, or its path.
        work: counts the time of the present part.

    Raises:
        InvalidVideo: as ``decode``.
    """

    def __init__(self, source: Source, work: Work) -> None:
        self._stack = ExitStack()
        try:
            self._video = self._stack.enter_context(open_video(source, work))
            self._index = read_index(self._video, seeks=True)
            self._context = self._video.decoder()
        except BaseException:
            self._stack.close()
            raise
        self._seconds: Seconds | None = None

    def decode(self, profile: FrameProfile, part: Part) -> DecodedVideo:
        """Decode the frames that ``profile`` chooses of a part, exactly as they are among all of the film's.

        Where packets don't tell which frames they show, the film is decoded up to its end for every part.

        Raises:
            InvalidVideo, BundleError: as ``decode``; or there is no such part.
        """
        check_profile(profile)
        try:
            decoder = _Decoder(self._video, self._index, profile, self._context)
            found, self._seconds = decoder.decode_part(part, self._seconds)
        except MemoryError:
            self._video.work.limits.refuse_memory()
        return found

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


class _Decoder:
    def __init__(
        self, video: VideoFile, index: PacketIndex, profile: FrameProfile, context: VideoCodecContext | None = None
    ) -> None:
        self._video, self._index, self._profile, self._kept = video, index, profile, context
        self._limits = video.work.limits
        self._rate = rate_of(video, index)
        self._short = profile.size if profile.resize == BY_FFMPEG else None
        self._step = _step_of(video, index)
        self._pictures = Pictures(video.matrix, self._limits, self._short)

    def decode(self) -> DecodedVideo:
        index = self._index
        if index.shown == 0 or max(self._sample(index.announced)) >= index.shown:
            raise InvalidVideo(f"the file is truncated: {index.shown} of about {index.announced} frames are readable")
        self._limits.check_seconds((index.span or 0) * _base_of(self._video) + self._step)
        return self._short_way() or self._whole_way()

    def decode_part(self, part: Part, seconds: Seconds | None) -> tuple[DecodedVideo, Seconds]:
        """A part, and when each of the film's frames is shown, which spares finding it again."""
        index = self._index
        if index.shown == 0 or index.announced > index.shown:
            raise InvalidVideo(f"the file is truncated: {index.shown} of about {index.announced} frames are readable")
        table = index.table
        if seconds is None:
            seconds = self._seconds(self._all_times() if table is None else table.pts.tolist())
        duration = float(seconds[-1]) + self._step
        self._limits.check_seconds(duration)
        if (piece := part.piece) is not None:
            self._rate, self._pictures = piece.rate, Pictures(piece.matrix, self._limits, self._short)
        segment, first, after = part.found(seconds, duration)
        chosen = [first + place for place in self._sample(after - first)]
        pictures: Mapping[int, Pixels] | None = None
        if table is not None:
            pictures = decode_chosen(self._decoder(), index, table, chosen, self._take, self._video.work)
        if pictures is None:
            pictures = self._from_the_start(chosen, len(seconds))
        found = self._video_of(chosen, pictures, seconds)
        return replace(
            found,
            timestamps=found.timestamps + (0.0 if piece is None else piece.offset),
            duration=found.duration if piece is None else piece.duration,
            frame_count=after - first,
            segment=segment,
        ), seconds

    def _all_times(self) -> list[int | None]:
        """The times of all frames, which only decoding tells."""
        return decode_all(self._decoder(), self._index, (), self._take, self._video.work).times

    def _from_the_start(self, chosen: Sequence[int], count: int) -> Mapping[int, Pixels]:
        decoded = decode_all(self._decoder(), self._index, chosen, self._take, self._video.work)
        if len(decoded.times) != count or decoded.pictures.keys() != set(chosen):
            raise InvalidVideo("the film's packets don't tell which frames they show: convert it to H.264 in an MP4")
        return decoded.pictures

    def _decoder(self) -> VideoCodecContext:
        return self._video.decoder() if self._kept is None else self._kept

    def _short_way(self) -> DecodedVideo | None:
        table, video = self._index.table, self._video
        if table is None:
            return None
        chosen = self._sample(self._index.shown)
        pictures = decode_chosen(video.decoder(), self._index, table, chosen, self._take, video.work)
        return None if pictures is None else self._video_of(chosen, pictures, self._seconds(table.pts.tolist()))

    def _whole_way(self) -> DecodedVideo:
        shown, video = self._index.shown, self._video
        chosen = self._sample(shown)
        decoded = decode_all(video.decoder(), self._index, chosen, self._take, video.work)
        count = len(decoded.times)
        if count == 0 or (decoded.errors and count < _ENOUGH * shown):
            raise InvalidVideo(f"the video is damaged: {count} of its {shown} frames can be decoded")
        if count != shown:
            # Some codecs have packets that show nothing or several frames: only now is their number known.
            chosen = self._sample(count)
            decoded = decode_all(video.decoder(), self._index, chosen, self._take, video.work)
            if len(decoded.times) != count:
                raise InvalidVideo(f"the video is damaged: its frames are {count} and then {len(decoded.times)}")
        return self._video_of(chosen, decoded.pictures, self._seconds(decoded.times))

    def _video_of(self, chosen: Sequence[int], pictures: Mapping[int, Pixels], seconds: Seconds) -> DecodedVideo:
        profile, duration = self._profile, float(seconds[-1]) + self._step
        self._limits.check_seconds(duration)
        count = len(chosen) if profile.missing == FEWER else profile.count
        shape = (count, *pictures[chosen[0]].shape)
        if math.prod(shape) > MAX_CLIP_BYTES:
            raise InvalidVideo(f"{count} pictures of {shape[3]}x{shape[2]} are too many: cut the film into parts")
        frames = np.zeros(shape, profile.dtype)
        for slot, place in enumerate(chosen):
            frames[slot] = pictures[place]
        shown = [*chosen, *[chosen[-1]] * (count - len(chosen))]
        return DecodedVideo(
            frames=frames,
            mask=(np.arange(count) < len(chosen)).astype(np.float32),
            timestamps=seconds[shown],
            duration=duration,
            frame_count=len(seconds),
        )

    def _sample(self, total: int) -> list[int]:
        return sample(total, self._rate, self._profile)

    def _take(self, frame: VideoFrame) -> Pixels:
        return resize_crop(self._pictures.rgb(frame), self._profile)

    def _seconds(self, times: Sequence[int | None]) -> Seconds:
        return seconds_of(self._video, self._index, times)[0]


def seconds_of(video: VideoFile, index: PacketIndex, times: Sequence[int | None]) -> tuple[Seconds, float]:
    """When each frame is shown, from the first, and how long the last one is.

    Frames are evenly spaced if the file doesn't say, or its clock goes back.
    """
    base = _base_of(video)
    step = _step_of(video, index)
    known = [time for time in times if time is not None]
    if not base or len(known) < len(times) or any(np.diff(known) < 0):
        return np.arange(len(times)) * step, step
    return (np.array(known) - known[0]) * base, step


def _base_of(video: VideoFile) -> float:
    return float(video.stream.time_base or 0)


def _step_of(video: VideoFile, index: PacketIndex) -> float:
    return index.last_step * _base_of(video) or 1 / rate_of(video, index)


def rate_of(video: VideoFile, index: PacketIndex) -> float:
    """Frames per second on average: by the file's own account, else by its times."""
    if told := video.stream.average_rate:
        return float(told)
    span = (index.span or 0) * _base_of(video)
    return (index.shown - 1) / span if span else _FALLBACK_RATE
