"""A video file's bytes to sampled frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidRequest, InvalidVideo, ServerError
from ...export.bundle.manifest import FilmProfile, FrameProfile
from ...export.bundle.packing import unpack_row
from ...export.bundle.ports import (
    DURATION,
    FILM_CLIPS,
    FILM_SECONDS,
    FRAMES,
    ID,
    MASK,
    NOISE,
    PART,
    SPAN,
    TIMESTAMPS,
    VIDEO,
    VIDEO_ENCODER,
)
from ...export.bundle.segments import Segment
from ...export.bundle.spec import TensorSpec
from ...export.bundle.store import read_manifest
from ...export.bundle.video.limits import VideoLimits
from ...export.bundle.video.noise import selector_noise
from ...export.bundle.video.part import Part
from ...export.bundle.video.sandbox import Sandbox
from .base import Arrays, Backend


class VideoDecoder(Backend):
    """Reads ``video`` uint8 [1, N]; writes ``frames`` [1, F, 3, S, S], ``timestamps`` and ``duration``.

    Frames are of the profile's dtype. What else the video encoder reads is written too: ``mask`` float32 [1, F]; and
    ``noise`` float32 [1, F, samples, patches], which belongs to the video's ``id`` uint8 [1, N], an input then.

    A model that reads a whole film gets in their place ``film_seconds`` uint8 [1, N, 3, H, W] and ``film_clips`` uint8
    [1, M, T, 3, S, S], and the ``duration`` alone.

    Where a request has ``part`` uint8 [1, N], JSON as ``video.part.Part`` writes it, all this is of one segment of the
    film, its times are those of the film, and ``span`` float64 [1, 4] says which: number, count, start and end.
    """

    profile: FrameProfile
    film: FilmProfile | None
    ports: Mapping[str, TensorSpec]
    sandbox: Sandbox

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Read how the model samples and resizes, what its video encoder reads, and the limits of a video."""
        self.sandbox = Sandbox(VideoLimits.from_environment())
        self.sandbox.start()
        manifest = read_manifest(folder)
        self.film = manifest.film
        self.profile = manifest.pictures if self.film is None else self.film.clips
        self.ports = {port.name: port for port in manifest.graphs[VIDEO_ENCODER].inputs}

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """One video a request."""
        return [self._one(request) for request in inputs]

    def finalize(self) -> None:
        """End the process that decodes."""
        self.sandbox.close()

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        written: Arrays = {}
        try:
            if NOISE in self.ports:
                noise = selector_noise(unpack_row(request[ID][0], ID), self.ports[NOISE].shape[1:])
                written[NOISE] = noise[None]
            part = Part.parse(unpack_row(request[PART][0], PART)) if PART in request else None
            if self.film is not None:
                return self._whole(request[VIDEO][0], self.film, part)
            clip = self.sandbox.decode(request[VIDEO][0], self.profile, part)
        except (InvalidVideo, InvalidRequest, ServerError) as error:
            return error
        if MASK in self.ports:
            written[MASK] = clip.mask[None]
        return {
            FRAMES: clip.frames[None],
            TIMESTAMPS: clip.timestamps.astype(np.float32)[None],
            DURATION: np.array([[clip.duration]], np.float32),
            **_span(part, clip.segment),
            **written,
        }

    def _whole(self, film: np.ndarray[Any, Any], profile: FilmProfile, part: Part | None) -> Arrays:
        """A whole film, or a part of it, its last clip filled up with black.

        Raises:
            InvalidVideo: as ``Sandbox.decode``, or it lasts longer than the model reads.
        """
        seconds, most = self.sandbox.decode(film, profile.seconds, part), profile.seconds.count
        lasts = seconds.duration if part is None else seconds.segment.end - seconds.segment.start
        if lasts >= most + 1:
            raise InvalidVideo(
                f"the film lasts {lasts:.0f} s, and the model reads whole films of at most {most} s: cut it "
                f"into parts (--segment-seconds), or export the model with --set film_seconds={math.ceil(lasts)}"
            )
        clips, together = self.sandbox.decode(film, profile.clips, part).frames, profile.clips.together
        black = np.zeros((-len(clips) % together, *clips.shape[1:]), clips.dtype)
        rows = np.concatenate([clips, black]).reshape(-1, together, *clips.shape[1:])
        return {
            FILM_SECONDS: seconds.frames[None],
            FILM_CLIPS: rows[None],
            DURATION: np.array([[seconds.duration]], np.float32),
            **_span(part, seconds.segment),
        }


def _span(part: Part | None, segment: Segment) -> Arrays:
    return {} if part is None else {SPAN: np.array([segment], np.float64)}
