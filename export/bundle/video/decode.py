"""From a video file to the frames that a video tower reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from ..errors import InvalidVideo
from ..limits import MAX_CLIP_BYTES
from ..manifest import FrameProfile
from .container import VideoFile, open_video
from .decoded_video import DecodedVideo
from .decoding import decode_all, decode_chosen
from .limits import DEFAULT_LIMITS, VideoLimits
from .packet_index import PacketIndex, read_index
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


class _Decoder:
    def __init__(self, video: VideoFile, index: PacketIndex, profile: FrameProfile) -> None:
        self._video, self._index, self._profile = video, index, profile
        self._limits = video.work.limits
        self._base = float(video.stream.time_base or 0)
        self._rate = self._found_rate()
        self._step = index.last_step * self._base or 1 / self._rate
        short = profile.size if profile.resize == BY_FFMPEG else None
        self._pictures = Pictures(video.matrix, self._limits, short)

    def decode(self) -> DecodedVideo:
        index = self._index
        if index.shown == 0 or max(self._sample(index.announced)) >= index.shown:
            raise InvalidVideo(f"the file is truncated: {index.shown} of about {index.announced} frames are readable")
        self._limits.check_seconds((index.span or 0) * self._base + self._step)
        return self._short_way() or self._whole_way()

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

    def _found_rate(self) -> float:
        """Frames per second on average: by the file's own account, else by its times."""
        told = self._video.stream.average_rate
        if told:
            return float(told)
        span = (self._index.span or 0) * self._base
        return (self._index.shown - 1) / span if span else _FALLBACK_RATE

    def _seconds(self, times: Sequence[int | None]) -> Seconds:
        """When each frame is shown, from the first; evenly spaced if the file doesn't say or its clock goes back."""
        known = [time for time in times if time is not None]
        if not self._base or len(known) < len(times) or any(np.diff(known) < 0):
            return np.arange(len(times)) * self._step
        return (np.array(known) - known[0]) * self._base
