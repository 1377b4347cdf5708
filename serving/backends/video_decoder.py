"""A video file's bytes to sampled frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidRequest, InvalidVideo, ServerError
from ...export.bundle.manifest import FrameProfile
from ...export.bundle.packing import unpack_row
from ...export.bundle.ports import DURATION, FRAMES, ID, MASK, NOISE, TIMESTAMPS, VIDEO, VIDEO_ENCODER
from ...export.bundle.spec import TensorSpec
from ...export.bundle.store import read_manifest
from ...export.bundle.video.limits import VideoLimits
from ...export.bundle.video.noise import selector_noise
from ...export.bundle.video.sandbox import Sandbox
from .base import Arrays, Backend


class VideoDecoder(Backend):
    """Reads ``video`` uint8 [1, N]; writes ``frames`` [1, F, 3, S, S], ``timestamps`` and ``duration``.

    Frames are of the profile's dtype. What else the video encoder reads is written too: ``mask`` float32 [1, F]; and
    ``noise`` float32 [1, F, samples, patches], which belongs to the video's ``id`` uint8 [1, N], an input then.
    """

    profile: FrameProfile
    ports: Mapping[str, TensorSpec]
    sandbox: Sandbox

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Read how the model samples and resizes, what its video encoder reads, and the limits of a video."""
        self.sandbox = Sandbox(VideoLimits.from_environment())
        self.sandbox.start()
        manifest = read_manifest(folder)
        self.profile = manifest.pictures
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
            clip = self.sandbox.decode(request[VIDEO][0], self.profile)
        except (InvalidVideo, InvalidRequest, ServerError) as error:
            return error
        if MASK in self.ports:
            written[MASK] = clip.mask[None]
        return {
            FRAMES: clip.frames[None],
            TIMESTAMPS: clip.timestamps.astype(np.float32)[None],
            DURATION: np.array([[clip.duration]], np.float32),
            **written,
        }
