"""Averages of neighbouring frames, by which a video is one of fewer frames.

Letters in shapes: F frames, G of fewer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def averages(frames: int, groups: int) -> Floats:
    """The weights [G, F] that average frames to ``groups`` of neighbours, whose sizes differ by one at most.

    Raises:
        ValueError: no group, or more than there are frames.
    """
    if not 1 <= groups <= frames:
        raise ValueError(f"{frames} frames can't be averaged to {groups}")
    weights = np.zeros((groups, frames), np.float32)
    for row, members in zip(weights, np.array_split(np.arange(frames), groups), strict=True):
        row[members] = 1 / len(members)
    return weights
