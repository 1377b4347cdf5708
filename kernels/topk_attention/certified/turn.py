"""A turn of all vectors that leaves no dimension larger than others, so that one step size suits all of a frame.

Signs that look random, then Hadamard's transform, of parts as large as a power of two that divides the width. Lengths
and products of vectors that are both turned stay as they are.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ...lanes import LANES

Doubles = npt.NDArray[np.float64]
# 2^64 over the golden ratio, whose multiples fall everywhere.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def part_of(width: int) -> int:
    """How many dimensions are turned together, of a width that 16 divides."""
    return width & -width


@cache
def signs(width: int) -> npt.NDArray[np.float32]:
    """What each dimension [D] is multiplied with first: 1 or -1, over the root of its part."""
    high = (np.arange(1, width + 1, dtype=np.uint64) * _GOLDEN) >> np.uint64(63)
    return np.where(high == 1, -1.0, 1.0).astype(np.float32) * np.float32(part_of(width) ** -0.5)


def turned(vectors: Doubles) -> Doubles:
    """Vectors [..., D], turned as csrc/encode.h does it."""
    width = vectors.shape[-1]
    part = part_of(width)
    parts = (vectors * signs(width)).reshape(*vectors.shape[:-1], width // part, part // LANES, LANES)
    made = np.einsum("rs,...sc,cd->...dr", _hadamard(part // LANES), parts, _hadamard(LANES), optimize=True)
    return made.reshape(vectors.shape)


@cache
def _hadamard(size: int) -> Doubles:
    made = np.ones((1, 1))
    while len(made) < size:
        made = np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), made)
    return made
