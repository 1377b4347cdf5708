"""Frame vectors in int8 steps, and what a proof needs to know of each video. Letters in shapes: ``layout``.

A video's frames resemble one another, so their mean is kept as one more row, and the frames are steps away from it,
each frame with a step size of its own. Steps are measured from the mean as it is stored, so rounding it costs nothing.
All are turned first, see ``turn``, and so are the texts.

Beside 16 videos' steps lie [5 F + 4, 16] numbers, float32: the F step sizes; the F norms of what rounding took from the
frames as float16 has them; the gradients alpha, rho and g of sigma, r and sqrt(e) at equal weights, see ``reference``;
the step size of the mean; and how far sigma and r may be from linear in the weights, and sqrt(e) below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..layout import LANES, blocks

Steps = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

MOST_STEPS, ZERO = 127, 128
# Normalised frames are as long as their width's root, and no longer than so many times it.
LONGEST = 1.01


@dataclass(frozen=True)
class StepVectors:
    """V videos: ``steps`` uint8 [V, F + 1, D], 128 for zero, and ``side`` float32 [>= ceil(V / 16), 5 F + 4, 16].

    Raises:
        ValueError: shapes or dtypes that don't go together, or not contiguous.
    """

    steps: Steps
    side: Floats

    def __post_init__(self) -> None:
        videos, frames = len(self.steps), self.steps.shape[1] - 1
        if self.steps.dtype != np.uint8 or self.steps.ndim != 3 or not self.steps.flags.c_contiguous:
            raise ValueError(f"steps are {self.steps.dtype} {list(self.steps.shape)}, must be uint8 [V, F + 1, D]")
        side = self.side
        fits = side.ndim == 3 and side.shape[1:] == (side_rows(frames), LANES) and len(side) >= blocks(videos)
        if not fits or side.dtype != np.float32 or not side.flags.c_contiguous:
            raise ValueError(
                f"the side of {videos} videos is {side.dtype} {list(side.shape)}, must be float32 "
                f"[{blocks(videos)}, {side_rows(frames)}, {LANES}]"
            )

    def __len__(self) -> int:
        return len(self.steps)


def side_rows(frames: int) -> int:
    """Numbers of a video beside its steps."""
    return 5 * frames + 4
