"""The compiled scorer (``csrc``), where a compiler built it and the processor has AVX2.

The libraries need no Python headers. ctypes calls them and lets other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import functools
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np

from ..walk import Rows, Walk, WalkJob, places
from .layout import LANES, HeadShape
from .operands import Floats, GalleryVectors, TextVectors

# Best first.
LIBRARIES = ("avx512", "avx2")
MOST_FRAMES = 64
# From this many queries on, a lane is a query instead of a video.
_MANY = 8
_STORAGE = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int8): 2}

_INTEGERS = ("queries", "frames", "width", "heads", "streams", "rows", "top_k", "table_rows", "storage")
_POINTERS = ("vectors", "tables", "mean", "logit", "readout", "scalars")
# What to do where there is none.
NOT_COMPILED = (
    "numpy scores, which is slower: no compiled scorer is installed that this processor runs; with a C compiler (apt "
    "install gcc) and AVX2, install framesift again"
)
_NO_MEMORY = "no memory for scoring: score fewer queries at once"

Library = ctypes.CDLL


class Job(ctypes.Structure):
    """``job`` in csrc/job.h."""

    _fields_ = (
        ("walk", WalkJob),
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


@functools.cache
def library(name: str) -> Library | None:
    """The library for one instruction set, or None where it was not built or this processor can't run it."""
    stem = Path(__file__).with_name(f"_scan_{name}")
    built = [path for suffix in EXTENSION_SUFFIXES if (path := stem.with_name(stem.name + suffix)).is_file()]
    if not built:
        return None
    try:
        found = ctypes.CDLL(str(built[0]))
    except OSError:
        return None
    found.framesift_read.restype = ctypes.c_float
    found.framesift_read.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    found.framesift_scan.argtypes = [ctypes.POINTER(Job), ctypes.c_int]
    found.framesift_attend.argtypes = [ctypes.POINTER(Job)]
    return found if found.framesift_supported() else None


def available(shape: HeadShape) -> Library | None:
    """The best library that can score ``shape``, or None."""
    if shape.frames > MOST_FRAMES or (shape.width // shape.heads) % LANES:
        return None
    return next((found for name in LIBRARIES if (found := library(name)) is not None), None)


def compiled() -> str | None:
    """The instruction set of the compiled scorer that this machine runs; None where numpy scores instead."""
    return next((name for name in LIBRARIES if library(name) is not None), None)


class Scan:
    """One call's job and everything it points to. ``scores`` or ``best`` may run in several threads at once."""

    def __init__(self, text: TextVectors, gallery: GalleryVectors, shape: HeadShape, walk: Walk) -> None:
        self._arrays = {
            "vectors": gallery.frames,
            "tables": gallery.tables,
            "mean": gallery.mean,
            "logit": text.logit,
            "readout": text.readout,
            "scalars": text.scalars,
        }
        self._walk = walk
        self._many = int(len(text.logit) >= _MANY)
        self._job: dict[str, Any] = {
            "queries": len(text.logit),
            "frames": shape.frames,
            "width": shape.width,
            "heads": shape.heads,
            "streams": shape.streams,
            "rows": shape.rows,
            "top_k": shape.top_k,
            "table_rows": gallery.tables.shape[1],
            "storage": _STORAGE[gallery.frames.dtype],
            **{name: None if array is None else array.ctypes.data for name, array in self._arrays.items()},
        }

    def scores(self, found: Library, out: Floats) -> None:
        """Write scores of the blocks that this thread gets into ``out`` float32 [Q, R] of the walk's R videos.

        Raises:
            MemoryError: no room for the working memory.
        """
        self._run(found, Job(walk=self._walk.into(out), **self._job))

    def best(self, found: Library, n: int) -> tuple[Floats, Rows]:
        """The best videos of the blocks that this thread gets: scores float32 and rows int64 [Q, n], in no order.

        Places that no video took have row -1.

        Raises:
            MemoryError: no room for the working memory.
        """
        scores, rows = places(self._job["queries"], n)
        self._run(found, Job(walk=self._walk.best(scores, rows), **self._job))
        return scores, rows

    def attention(self, found: Library, rows: Rows) -> Floats:
        """Attention weights float32 [Q, n, F] on the videos ``rows`` int64 [Q, n], averaged over heads.

        Raises:
            MemoryError: no room for the working memory.
        """
        out = np.empty((*rows.shape, self._job["frames"]), np.float32)
        asked = WalkJob(out=out.ctypes.data, best=rows.shape[1], best_rows=rows.ctypes.data)
        if found.framesift_attend(ctypes.byref(Job(walk=asked, **self._job))):
            raise MemoryError(_NO_MEMORY)
        return out

    def _run(self, found: Library, job: Job) -> None:
        if found.framesift_scan(ctypes.byref(job), self._many):
            raise MemoryError(_NO_MEMORY)
