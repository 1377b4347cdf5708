"""What a scorer's operands must look like, whoever holds them: numpy's arrays, or torch's tensors on any device.

Letters in shapes: ``layout``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layout import LANES, SCALARS, HeadShape, blocks

# What frame vectors may be on a CPU, and on CUDA.
CPU_DTYPES = ("float32", "float16", "int8")
CUDA_DTYPES = (*CPU_DTYPES, "bfloat16", "float8_e4m3fn")
# Those that are steps around a mean: see ``quantise``.
QUANTISED = ("int8", "float8_e4m3fn")


@dataclass(frozen=True)
class Held:
    """An array or tensor as far as it is checked; ``dtype`` is numpy's name of it, or torch's without "torch."."""

    shape: tuple[int, ...]
    dtype: str
    contiguous: bool


def check_text(logit: Held, readout: Held, scalars: Held) -> None:
    """Check the text side of Q queries: two vectors [Q, D] and scalars [Q, 4], float32.

    Raises:
        ValueError: no query, shapes that don't go together, another dtype, or not contiguous.
    """
    if len(logit.shape) != 2 or not logit.shape[0]:
        raise ValueError(f"logit vectors must be [Q, D] with at least one query, got {list(logit.shape)}")
    _demand("logit vectors", logit, logit.shape, "float32")
    _demand("readout vectors", readout, logit.shape, "float32")
    _demand("text scalars", scalars, (logit.shape[0], SCALARS), "float32")


def check_gallery(frames: Held, tables: Held, mean: Held | None, dtypes: Sequence[str]) -> None:
    """Check the video side of V videos: frame vectors [V, S, F, D], Gram tables [>= ceil(V / 16), R, 16], means [V, D].

    Args:
        dtypes: those that frame vectors may have here.

    Raises:
        ValueError: no video, shapes or dtypes that don't go together, or not contiguous.
    """
    if len(frames.shape) != 4 or not frames.shape[0]:
        raise ValueError(f"frame vectors must be [V, S, F, D] with at least one video, got {list(frames.shape)}")
    if frames.dtype not in dtypes:
        raise ValueError(f"frame vectors are {frames.dtype}, must be {', '.join(dtypes[:-1])} or {dtypes[-1]}")
    videos, _, _, width = frames.shape
    _demand("frame vectors", frames, frames.shape, frames.dtype)
    needed = blocks(videos)
    if len(tables.shape) != 3 or tables.shape[0] < needed:
        raise ValueError(f"{videos} videos need {needed} blocks of tables, got {list(tables.shape)}")
    _demand("tables", tables, (*tables.shape[:2], LANES), "float32")
    if (frames.dtype in QUANTISED) != (mean is not None):
        raise ValueError(f"{' and '.join(QUANTISED)} frame vectors, and no others, come with a mean")
    if mean is not None:
        _demand("mean", mean, (videos, width), "float16")


def check_fit(logit: Held, frames: Held, tables: Held, shape: HeadShape) -> None:
    """Check that queries, gallery and scorer belong together, each of them checked before.

    Raises:
        ValueError: they don't.
    """
    wanted = (shape.streams, shape.frames, shape.width)
    if frames.shape[1:] != wanted:
        raise ValueError(f"frame vectors are [V, S, F, D] = {list(frames.shape)}, the scorer takes {list(wanted)}")
    if logit.shape[1] != shape.width:
        raise ValueError(f"the queries' vectors have width {logit.shape[1]}, the scorer takes {shape.width}")
    rows = shape.rows + (shape.streams * shape.entries if frames.dtype in QUANTISED else 0)
    if tables.shape[1] != rows:
        raise ValueError(f"tables have {tables.shape[1]} rows, {shape} in {frames.dtype} needs {rows}")


def _demand(name: str, held: Held, shape: tuple[int, ...], dtype: str) -> None:
    if held.shape != shape or held.dtype != dtype:
        raise ValueError(f"{name} are {held.dtype} {list(held.shape)}, must be {dtype} {list(shape)}")
    if not held.contiguous:
        raise ValueError(f"{name} are not contiguous: pass a contiguous copy of them")
