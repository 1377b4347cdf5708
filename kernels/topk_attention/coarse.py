"""Coarse videos: averages of neighbouring frames, as records that the same scorers read. Letters in shapes: ``layout``.

With weights P [G, F] whose rows sum to one, x' = P x, G' = P G P' and h' = P h are the record of a video of G frames.
Its score is the exact one of the attention P' a', whose weights are equal within a group. Where a text is about one
frame of many, that is not what this frame would have scored, so coarse scores choose candidates and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..averages import averages
from .layout import HeadShape, upper_triangle
from .operands import Floats


def coarser(shape: HeadShape, frames: int) -> HeadShape:
    """The sizes of a scorer of coarse videos, which keeps the same share of the frames.

    Raises:
        ValueError: no frame, or more than there are.
    """
    if not 1 <= frames <= shape.frames:
        raise ValueError(f"{shape.frames} frames can't be averaged to {frames}")
    return HeadShape(frames, shape.width, -(-shape.top_k * frames // shape.frames), shape.heads)


def encode(
    frames: npt.NDArray[Any], tables: npt.NDArray[Any], shape: HeadShape, coarse: HeadShape
) -> tuple[npt.NDArray[np.float16], Floats]:
    """Frame vectors float16 [V, S, G, D] and tables float32 [V, R'] of frames [V, S, F, D] and tables [V, R].

    Args:
        coarse: as ``coarser`` makes it of ``shape``.
    """
    weights = averages(shape.frames, coarse.frames)
    # Head-major, as the entries of a table are.
    entries = np.kron(np.eye(shape.heads, dtype=np.float32), weights)
    i, j, _ = upper_triangle(shape.entries)
    into_i, into_j, doubled = upper_triangle(coarse.entries)
    # An entry off the diagonal is stored doubled and stands for two, so the mean of both orders is right for all.
    both = entries[into_i][:, i] * entries[into_j][:, j] + entries[into_i][:, j] * entries[into_j][:, i]
    forms = (both / 2 * doubled[:, None]).astype(np.float32)
    split = 3 * shape.triangle
    with np.errstate(over="ignore", invalid="ignore"):
        averaged = np.matmul(weights, frames.astype(np.float32)).astype(np.float16)
        quadratic = np.matmul(forms, tables[:, :split].reshape(-1, shape.triangle, 3))
        linear = np.matmul(entries, tables[:, split : shape.rows].reshape(-1, shape.entries, 3))
    flat = [part.reshape(len(tables), -1) for part in (quadratic, linear)]
    return averaged, np.concatenate(flat, axis=1, dtype=np.float32)
