"""Steps and sides of videos, see ``records``, by the compiled library (``csrc/encode.h``)."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from ...scan import NO_MEMORY
from ..biases import Biases
from ..layout import HeadShape
from ..native import available
from .gradients import gradients
from .records import LONGEST, ZERO, Floats, Steps, side_rows
from .turn import part_of, signs

# No bound drops a video with such a remainder; what can't be bounded is scored.
UNBOUNDED = np.float32(1e15)
# Videos whose tables are widened at once, so that they stay in the cache: no fewer than come together from a gallery.
_PIECE = 128


class Encoding(ctypes.Structure):
    """``encoding`` in csrc/encode.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("videos", "frames", "width", "part")),
        *((name, ctypes.c_void_p) for name in ("signs", "source", "steps", "numbers")),
    )


def encode(
    frames: npt.NDArray[np.float16], tables: npt.NDArray[Any], shape: HeadShape, biases: Biases
) -> tuple[Steps, Floats]:
    """Steps uint8 [V, F + 1, D] and sides float32 [V, 5 F + 4] of frames float16 [V, 1, F, D] and tables [V, R].

    A video whose numbers are not finite, or whose frames are longer than normalised ones, gets a side by which it is
    never left out.

    Raises:
        ValueError: no compiled library for scorers of this shape.
        MemoryError: no room for the working memory.
    """
    found = available(shape)
    if found is None or shape.heads > 1:
        raise ValueError(f"no compiled library makes int8 steps for {shape} here")
    videos, count, width = len(frames), shape.frames, shape.width
    steps = np.empty((videos, count + 1, width), np.uint8)
    numbers = np.empty((videos, 2 * count + 2), np.float32)
    source = np.ascontiguousarray(frames)
    job = Encoding(
        videos=videos,
        frames=count,
        width=width,
        part=part_of(width),
        signs=signs(width).ctypes.data,
        source=source.ctypes.data,
        steps=steps.ctypes.data,
        numbers=numbers.ctypes.data,
    )
    if found.framesift_encode(ctypes.byref(job)):
        raise MemoryError(NO_MEMORY)
    side = np.empty((videos, side_rows(count)), np.float32)
    with np.errstate(all="ignore"):
        side[:, :count] = numbers[:, :count]
        # What float32 took from sums, differences and the turn here: a unit of each.
        error = np.sqrt(numbers[:, count : 2 * count]) * np.float32(1 + width * 2.0**-23)
        side[:, count : 2 * count] = error + np.float32(1.5e-6 * width**0.5)
        side[:, 5 * count] = numbers[:, 2 * count]
        for start in range(0, videos, _PIECE):
            part = slice(start, start + _PIECE)
            side[part, 2 * count : 5 * count], side[part, 5 * count + 1 :] = gradients(
                tables[part].astype(np.float64), shape, biases
            )
        good = np.isfinite(side).all(1) & (numbers[:, -1] <= LONGEST**2 * width)
    side[~good] = 0
    side[~good, -1] = UNBOUNDED
    steps[~good] = ZERO
    return steps, side
