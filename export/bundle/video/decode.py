"""From a video file to the frames that a video tower reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..errors import InvalidVideo
from ..limits import MAX_CLIP_BYTES
from ..manifest import FrameProfile
from ..segments import Segment
from .container import VideoFile, open_video
from .decoded_video import DecodedVideo
from .decoding import decode_all
from .frame_reader import FrameReader
from .limits import DEFAULT_LIMITS, VideoLimits
from .packet_index import PacketIndex, read_index
from .part import Part, frames_within
from .pictures import Pictures
from .profile import BY_FFMPEG, FEWER, UNCUT, check_profile, resize_crop, sample
from .resizing import Pixels
from .seconds import Seconds, base_of, rate_of, seconds_of, step_of
from .source import Source
from .work import Work

# A video of which some packets can't be decoded is used if this share of its frames comes out all the same.
_ENOUGH = 0.9
# A film's memory of which this part is for pictures of segments that are yet to come.
_AHEAD_SHARE = 8


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
            return Decoder(video, read_index(video), profile).decode()
    except MemoryError:
        limits.refuse_memory()


class Decoder:
    """Decodes what a profile chooses from an open video, or from parts of it.

    Attributes:
        profile: how many frames, which, and their size.
        reader: of a film, of which parts are decoded with one ``context``; None where its packets tell too little.
    """

    def __init__(
        self, video: VideoFile, index: PacketIndex, profile: FrameProfile, context: VideoCodecContext | None = None
    ) -> None:
        self._video, self._index, self.profile, self._kept = video, index, profile, context
        self._limits = video.work.limits
        self._rate = rate_of(video, index)
        self._short = profile.size if profile.resize == BY_FFMPEG else None
        self._step = step_of(video, index)
        self._pictures = Pictures(video.matrix, self._limits, self._short)
        self.reader: FrameReader | None = None
        if context is not None and index.table is not None:
            self.reader = FrameReader(context, index, index.table, video.work)

    def decode(self) -> DecodedVideo:
        """All of it; see ``decode``."""
        index = self._index
        if index.shown == 0 or max(self._sample(index.announced)) >= index.shown:
            raise InvalidVideo(f"the file is truncated: {index.shown} of about {index.announced} frames are readable")
        self._limits.check_seconds((index.span or 0) * base_of(self._video) + self._step)
        return self._short_way() or self._whole_way()

    def decode_part(self, part: Part, seconds: Seconds | None) -> tuple[DecodedVideo, Seconds]:
        """A part, and when each of the film's frames is shown, which spares finding it again; see ``Film.decode``."""
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
        if self.reader is not None:
            ahead = self._ahead(part, segment, seconds, max(chosen), duration)
            pictures = self.reader.pictures(chosen, self._take, ahead)
        if pictures is None:
            # The reader has given up, so that the decoder is free.
            pictures = self._from_the_start(chosen, len(seconds))
        found = self._video_of(chosen, pictures, seconds)
        return replace(
            found,
            timestamps=found.timestamps + (0.0 if piece is None else piece.offset),
            duration=found.duration if piece is None else piece.duration,
            frame_count=after - first,
            segment=segment,
        ), seconds

    def _ahead(self, part: Part, segment: Segment, seconds: Seconds, until: int, duration: float) -> list[int]:
        """Frames up to ``until`` that the next segments will choose, of as many as there is memory for."""
        offset, lasts = (0.0, duration) if part.piece is None else (part.piece.offset, part.piece.duration)
        found: list[int] = []
        for start, end in part.following(segment, lasts):
            first, after = frames_within(seconds, start - offset, end - offset)
            found += [place for one in self._sample(after - first) if (place := first + one) <= until]
            if len(found) * self._picture_bytes() > self._limits.max_memory / _AHEAD_SHARE:
                break
        return found

    def _picture_bytes(self) -> float:
        """What a picture takes as the profile has it."""
        side, context = self.profile.size, self._video.context
        longer = max(context.width, context.height) / max(1, min(context.width, context.height))
        wide = longer if self.profile.crop == UNCUT else 1.0
        return 3 * side * side * wide * np.dtype(self.profile.dtype).itemsize

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
        pictures = FrameReader(video.decoder(), self._index, table, video.work).pictures(chosen, self._take)
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
        profile, duration = self.profile, float(seconds[-1]) + self._step
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
        return sample(total, self._rate, self.profile)

    def _take(self, frame: VideoFrame) -> Pixels:
        return resize_crop(self._pictures.rgb(frame), self.profile)

    def _seconds(self, times: Sequence[int | None]) -> Seconds:
        return seconds_of(self._video, self._index, times)[0]
