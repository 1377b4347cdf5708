"""A video file's bytes to sampled frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidVideo
from ...export.bundle.manifest import FrameProfile, Manifest
from ...export.bundle.ports import DURATION, FRAMES, TIMESTAMPS, VIDEO
from ...export.bundle.store import MANIFEST
from ...export.bundle.video import decode
from .base import Arrays, Backend


class VideoDecoder(Backend):
    """Reads ``video`` uint8 [1, N]; writes ``frames`` uint8 [1, F, 3, S, S], ``timestamps`` and ``duration``."""

    profile: FrameProfile

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Read how the model samples and resizes."""
        self.profile = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8")).frames

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """One video a request."""
        return [self._one(request[VIDEO][0].tobytes()) for request in inputs]

    def _one(self, video: bytes) -> Arrays | FramesiftError:
        try:
            clip = decode(video, self.profile)
        except InvalidVideo as error:
            return error
        return {
            FRAMES: clip.frames[None],
            TIMESTAMPS: clip.timestamps.astype(np.float32)[None],
            DURATION: np.array([[clip.duration]], np.float32),
        }
