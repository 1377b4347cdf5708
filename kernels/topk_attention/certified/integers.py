"""Text vectors as integers of two signed bytes, whose products with steps are exact in 32 bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..operands import Floats
from .records import MOST_STEPS

# The largest integer of two signed bytes, and the most that integers may add up to with 127 steps each.
_MOST, _MOST_SUM = 127 * 256 + 127, (2**31 - 1) // MOST_STEPS


def planes(wide: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int8], Floats, npt.NDArray[np.int64]]:
    """The two bytes [Q, 2, 2, D] of integers for vectors [Q, 2, D], high ones first, what one is, and the integers."""
    sizes = np.abs(wide)
    scale = np.maximum(sizes.max(-1) / _MOST, sizes.sum(-1) / (_MOST_SUM - wide.shape[-1]))
    scale = np.maximum(scale * (1 + 1e-6), 1e-30).astype(np.float32)
    whole = np.rint(wide / scale[..., None]).astype(np.int64)
    high = (whole + 128) >> 8
    return np.ascontiguousarray(np.stack([high, whole - (high << 8)], axis=2).astype(np.int8)), scale, whole
