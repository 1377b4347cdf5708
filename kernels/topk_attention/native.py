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
import numpy.typing as npt

from .layout import LANES, HeadShape, blocks
from .operands import Floats, GalleryVectors, TextVectors

# Best first.
LIBRARIES = ("avx512", "avx2")
MOST_FRAMES = 64
# From this many queries on, a lane is a query instead of a video.
_MANY = 8
_STORAGE = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int8): 2}

_INTEGERS = ("queries", "videos", "frames", "width", "heads", "streams", "rows", "top_k", "table_rows", "storage")
_POINTERS = ("vectors", "tables", "mean", "live", "logit", "readout", "scalars", "out")
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
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("best", ctypes.c_int64),
        ("best_scores", ctypes.c_void_p),
        ("best_rows", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("chunk", ctypes.c_int64),
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

    def __init__(
        self,
        text: TextVectors,
        gallery: GalleryVectors,
        shape: HeadShape,
        live: npt.NDArray[np.bool_] | None,
        threads: int,
    ) -> None:
        self._arrays = {
            "vectors": gallery.frames,
            "tables": gallery.tables,
            "mean": gallery.mean,
            "live": live,
            "logit": text.logit,
            "readout": text.readout,
            "scalars": text.scalars,
        }
        queries, videos = len(text.logit), len(gallery)
        self._many = int(queries >= _MANY)
        self._next = np.zeros(1, np.int64)
        self._job: dict[str, Any] = {
            "queries": queries,
            "videos": videos,
            "frames": shape.frames,
            "width": shape.width,
            "heads": shape.heads,
            "streams": shape.streams,
            "rows": shape.rows,
            "top_k": shape.top_k,
            "table_rows": gallery.tables.shape[1],
            "storage": _STORAGE[gallery.frames.dtype],
            # Small enough that no thread is left with a long last piece, and memory is read in long runs.
            "chunk": max(1, min(32, blocks(videos) // (8 * threads))),
            "next": self._next.ctypes.data,
            **{name: None if array is None else array.ctypes.data for name, array in self._arrays.items()},
        }

    def scores(self, found: Library, out: Floats) -> None:
        """Write scores of the blocks that this thread gets into ``out`` float32 [Q, V].

        Raises:
            MemoryError: no room for the working memory.
        """
        self._run(found, Job(**self._job, out=out.ctypes.data))

    def best(self, found: Library, n: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """The best videos of the blocks that this thread gets: scores float32 and rows int64 [Q, n], in no order.

        Places that no video took have row -1.

        Raises:
            MemoryError: no room for the working memory.
        """
        scores = np.full((self._job["queries"], n), -np.inf, np.float32)
        rows = np.full(scores.shape, -1, np.int64)
        self._run(found, Job(**self._job, best=n, best_scores=scores.ctypes.data, best_rows=rows.ctypes.data))
        return scores, rows

    def attention(self, found: Library, rows: npt.NDArray[np.int64]) -> Floats:
        """Attention weights float32 [Q, n, F] on the videos ``rows`` int64 [Q, n], averaged over heads.

        Raises:
            MemoryError: no room for the working memory.
        """
        out = np.empty((*rows.shape, self._job["frames"]), np.float32)
        job = Job(**self._job, out=out.ctypes.data, best=rows.shape[1], best_rows=rows.ctypes.data)
        if found.framesift_attend(ctypes.byref(job)):
            raise MemoryError(_NO_MEMORY)
        return out

    def _run(self, found: Library, job: Job) -> None:
        if found.framesift_scan(ctypes.byref(job), self._many):
            raise MemoryError(_NO_MEMORY)
