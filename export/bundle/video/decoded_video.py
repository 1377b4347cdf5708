"""A video as a video tower reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..segments import WHOLE, Segment
from .resizing import Pixels


@dataclass(frozen=True)
class DecodedVideo:
    """A video as a video tower reads it.

    Attributes:
        frames: RGB from 0 to 255 [F, 3, S, S], of the profile's dtype.
        mask: float32 [F], 1 for a frame of the video and 0 for the padding behind a short one, which there is only
            where the profile's ``missing`` is "mask".
        timestamps: float64 [F], the seconds at which the frames are shown, counted from the video's first frame;
            padding has the last frame's.
        duration: seconds from the first frame to the end of the last.
        frame_count: the number of frames from which the F were chosen.
        segment: which part of the film they are of; then ``timestamps`` and ``duration`` are the film's.
    """

    frames: Pixels
    mask: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.float64]
    duration: float
    frame_count: int
    segment: Segment = WHOLE
