"""From a video file to the frames that a video tower reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from ..errors import InvalidVideo
from ..manifest import FrameProfile
from .container import VideoFile, open_video
from .decoding import decode_all, decode_chosen
from .limits import DEFAULT_LIMITS, VideoLimits
from .packet_index import PacketIndex, read_index
from .profile import check_profile, resize_crop, sample
from .resizing import Pixels

# A video of which some packets can't be decoded is used if this share of its frames comes out all the same.
_ENOUGH = 0.9
_FALLBACK_RATE = 25.0


@dataclass(frozen=True)
class DecodedVideo:
    """A video as a video tower reads it.

    ``frames`` are RGB from 0 to 255 [F, 3, S, S], of the profile's dtype; ``mask`` float32 [F] is 1 for a frame of the
    video and 0 for the padding behind a short one, which there is only where the profile's ``missing`` is "mask".
    ``timestamps`` float64 [F] are the seconds at which the frames are shown, counted from the video's first frame;
    padding has the last frame's. ``duration`` is the seconds from the first frame to the end of the last;
    ``frame_count`` the number of frames from which the F were chosen.
    """

    frames: Pixels
    mask: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.float64]
    duration: float
    frame_count: int


def decode(source: bytes | Path, profile: FrameProfile, limits: VideoLimits = DEFAULT_LIMITS) -> DecodedVideo:
    """Decode the frames that ``profile`` chooses from a video, exactly as decoding all of it would give them.

    Pictures are turned as the file's display matrix says (phones store upright videos lying down) and converted to RGB
    by the file's own colour space. Pixels that are not square are taken as square, as the published models do. Decodes
    on one thread; holds the video stream's packets in memory.

    Args:
        source: the file's content, or its path.
        profile: how many frames, which, and their size.
        limits: the largest video to accept.

    Raises:
        InvalidVideo: not a readable video, truncated before a chosen frame, damaged, or over a limit.
        BundleError: a profile that ``check_profile`` refuses.
    """
    check_profile(profile)
    with open_video(source, limits) as video:
        index, announced = read_index(video, limits)
        if index.shown == 0 or sample(announced, _rate(video), profile)[-1] >= index.shown:
            raise InvalidVideo(f"the file is truncated: {index.shown} of about {announced} frames are readable")
        step = _step(video, index)
        clip = _short_way(video, index, step, profile, limits)
        return clip if clip is not None else _whole_way(video, index, step, profile, limits)


def _short_way(
    video: VideoFile, index: PacketIndex, step: float, profile: FrameProfile, limits: VideoLimits
) -> DecodedVideo | None:
    table = index.table
    if table is None:
        return None
    seconds = _seconds(table.pts.tolist(), video, step)
    limits.check_seconds(float(seconds[-1]) + step)
    chosen = sample(index.shown, _rate(video), profile)
    take = partial(_picture, profile=profile, limits=limits)
    pictures = decode_chosen(video.stream.codec_context, index, table, chosen, take, limits)
    return None if pictures is None else _clip(chosen, pictures, seconds, step, profile)


def _whole_way(
    video: VideoFile, index: PacketIndex, step: float, profile: FrameProfile, limits: VideoLimits
) -> DecodedVideo:
    take = partial(_picture, profile=profile, limits=limits)
    context = video.stream.codec_context
    chosen = sample(index.shown, _rate(video), profile)
    decoded = decode_all(context, index, chosen, take, limits)
    count = len(decoded.times)
    if count == 0 or (decoded.errors and count < _ENOUGH * index.shown):
        raise InvalidVideo(f"the video is damaged: {count} of its {index.shown} frames can be decoded")
    if count != index.shown:
        # Some codecs have packets that show nothing or several frames: only now is their number known.
        chosen = sample(count, _rate(video), profile)
        decoded = decode_all(context, index, chosen, take, limits)
    seconds = _seconds(decoded.times, video, step)
    limits.check_seconds(float(seconds[-1]) + step)
    return _clip(chosen, decoded.pictures, seconds, step, profile)


def _clip(
    chosen: Sequence[int],
    pictures: Mapping[int, Pixels],
    seconds: npt.NDArray[np.float64],
    step: float,
    profile: FrameProfile,
) -> DecodedVideo:
    frames = np.zeros((profile.count, 3, profile.size, profile.size), profile.dtype)
    for slot, place in enumerate(chosen):
        frames[slot] = pictures[place]
    shown = [*chosen, *[chosen[-1]] * (profile.count - len(chosen))]
    return DecodedVideo(
        frames=frames,
        mask=(np.arange(profile.count) < len(chosen)).astype(np.float32),
        timestamps=seconds[shown],
        duration=float(seconds[-1]) + step,
        frame_count=len(seconds),
    )


def _rate(video: VideoFile) -> float:
    """Frames per second on average, by the file's own account."""
    return float(video.stream.average_rate or _FALLBACK_RATE)


def _step(video: VideoFile, index: PacketIndex) -> float:
    """How long the last frame is shown, in seconds."""
    last = -1 if index.table is None else int(index.table.positions[-1])
    duration, base = index.packets[last].duration, video.stream.time_base
    if duration and base is not None:
        return float(duration * base)
    return 1 / _rate(video)


def _seconds(times: Sequence[int | None], video: VideoFile, step: float) -> npt.NDArray[np.float64]:
    """When each frame is shown, from the first; evenly spaced if the file doesn't say or its clock jumps."""
    base = video.stream.time_base
    known = [time for time in times if time is not None]
    if base is None or len(known) < len(times) or any(np.diff(known) < 0):
        return np.arange(len(times)) * step
    return (np.array(known) - known[0]) * float(base)


def _picture(frame: VideoFrame, profile: FrameProfile, limits: VideoLimits) -> Pixels:
    limits.check_frame(frame.width, frame.height)
    try:
        image = np.asarray(frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)
    except (av.FFmpegError, ValueError) as error:
        raise InvalidVideo(f"a frame of format {frame.format.name} can't be converted to RGB") from error
    upright = np.rot90(image, frame.rotation // 90) if frame.rotation % 90 == 0 else image
    return resize_crop(np.ascontiguousarray(upright), profile)
