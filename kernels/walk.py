"""What compiled scans share (``csrc/walk.h``): which videos are read, by which threads, and the best of them.

Letters in shapes: Q queries, V videos of a gallery, R of them that are scored.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .lanes import LANES, blocks

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Live = npt.NDArray[np.bool_]
T = TypeVar("T")

# Blocks that a thread takes at once, at most.
_CHUNK = 32
# A thread is woken in some 30 microseconds: one alone scores so many pairs before a second is worth it.
_PAIRS_PER_THREAD = 512


class WalkJob(ctypes.Structure):
    """``walk`` in csrc/walk.h."""

    _fields_ = (
        ("videos", ctypes.c_int64),
        ("scored", ctypes.c_int64),
        ("chosen", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
        ("blocks", ctypes.c_int64),
        ("live", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("best", ctypes.c_int64),
        ("best_scores", ctypes.c_void_p),
        ("best_rows", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("chunk", ctypes.c_int64),
    )


class Walk:
    """One call's way through a gallery of ``videos``, which ``threads`` go together.

    Args:
        rows: int64 [R], ascending: the videos to score; None for all.
        live: bool [V]; a false keeps a video out of the best. Blocks of 16 without a true are not read.
    """

    def __init__(self, videos: int, threads: int, rows: Rows | None = None, live: Live | None = None) -> None:
        self._rows, self._live, self._next = rows, live, np.zeros(1, np.int64)
        self._starts: Rows | None = None
        count = blocks(videos, LANES)
        if rows is not None:
            self._starts = np.append(np.flatnonzero(np.diff(rows // LANES, prepend=-1)), len(rows))
            count = len(self._starts) - 1
        self._shared = {
            "videos": videos,
            "scored": videos if rows is None else len(rows),
            "chosen": _pointer(rows),
            "starts": _pointer(self._starts),
            "blocks": count,
            "live": _pointer(live),
            "next": _pointer(self._next),
            # Small enough that no thread is left with a long last piece, and memory is read in long runs.
            "chunk": max(1, min(_CHUNK, count // (8 * threads))),
        }

    def into(self, out: Floats) -> WalkJob:
        """Scores go into ``out`` float32 [Q, R]."""
        return WalkJob(**self._shared, out=out.ctypes.data)

    def best(self, scores: Floats, rows: Rows) -> WalkJob:
        """The best of one thread's blocks go into its own ``scores`` and ``rows``, which ``places`` made."""
        return WalkJob(**self._shared, best=scores.shape[1], best_scores=scores.ctypes.data, best_rows=rows.ctypes.data)


def places(queries: int, n: int) -> tuple[Floats, Rows]:
    """Empty places for the ``n`` best: scores float32 and rows int64, [Q, n]; a row of -1 is none."""
    return np.full((queries, n), -np.inf, np.float32), np.full((queries, n), -1, np.int64)


def merge(parts: list[tuple[Floats, Rows]], n: int) -> tuple[Floats, Rows]:
    """The ``n`` best of several lists of candidates [Q, m], best and lower rows first; rows of -1 are none."""
    scores, rows = (np.concatenate(values, axis=1) for values in zip(*parts, strict=True))
    # The last key decides first.
    order = np.lexsort((rows, -scores, rows < 0), axis=1)[:, :n]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def ascending(rows: Rows, videos: int) -> tuple[Rows, npt.NDArray[np.intp] | None]:
    """A list of rows in ascending order, each once, and where in it each given row stands; None where it was so.

    Raises:
        ValueError: as ``in_gallery``.
    """
    if (in_gallery(rows, videos)[1:] > rows[:-1]).all():
        return np.ascontiguousarray(rows), None
    return np.unique(rows, return_inverse=True)


def in_gallery(rows: Rows, videos: int) -> Rows:
    """A list of rows, checked.

    Raises:
        ValueError: not int64 [R], or a row that a gallery of so many videos doesn't have.
    """
    if rows.ndim != 1 or rows.dtype != np.int64:
        raise ValueError(f"rows are {rows.dtype} {list(rows.shape)}, must be int64 [R]")
    if len(rows) and (rows.min() < 0 or rows.max() >= videos):
        raise ValueError(f"rows go from {rows.min()} to {rows.max()}, the gallery's from 0 to {videos - 1}")
    return rows


def check_search(n: int, live: Live | None, videos: int) -> None:
    """Check how many are asked for, and a mask of live videos.

    Raises:
        ValueError: ``n`` is below 1, or ``live`` is not bool [V], contiguous.
    """
    if n < 1:
        raise ValueError(f"n is {n}, it must be at least 1")
    if live is not None and (live.shape != (videos,) or live.dtype != np.bool_ or not live.flags.c_contiguous):
        raise ValueError(f"live is {live.dtype} {list(live.shape)}, must be bool [{videos}], contiguous")


def threads_for(pairs: int, wanted: int | None) -> int:
    """How many threads score so many pairs; by default as many as there are cores and work for."""
    return max(1, min(wanted or len(os.sched_getaffinity(0)), pairs // _PAIRS_PER_THREAD or 1))


def in_threads(work: Callable[[], T], threads: int) -> list[T]:
    """What ``work`` returns in each of so many threads, this one among them."""
    others = [_pool().submit(work) for _ in range(threads - 1)]
    return [work(), *(other.result() for other in others)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="framesift-score")


def _pointer(array: npt.NDArray[np.generic] | None) -> int | None:
    return None if array is None else array.ctypes.data
