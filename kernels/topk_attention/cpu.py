"""Scoring on the CPU, from the records of ``factorised`` in float32, float16 or int8 storage.

``native`` runs where it was compiled; else numpy does, which multiplies as fast but converts storage and finishes pairs
more slowly. Neither ever holds anything of size [Q, V F]: blocks of videos are scored one after another.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ..lanes import read_rows
from . import native, portable
from .layout import LANES, HeadShape, pack_tables
from .operands import Floats, GalleryVectors, TextVectors, check_together

Implementation = Literal["auto", "native", "numpy"]
Rows = npt.NDArray[np.int64]
T = TypeVar("T")
# A thread is woken in some 30 microseconds: one alone scores so many pairs before a second is worth it.
_PAIRS_PER_THREAD = 512


def score(
    text: TextVectors,
    gallery: GalleryVectors,
    shape: HeadShape,
    *,
    threads: int | None = None,
    impl: Implementation = "auto",
) -> Floats:
    """Scores float32 [Q, V] in [-1, 1].

    Args:
        threads: how many work at once; by default as many as there are cores and work for.
        impl: "native" is the compiled library, "numpy" needs nothing, "auto" takes the faster one that is there.

    Raises:
        ValueError: the arguments don't belong together, or "native" can't score them here.
    """
    found = _checked(text, gallery, shape, impl)
    if found is None:
        return np.concatenate([part for _, part in portable.parts(text, gallery, shape)], axis=1)
    out = np.empty((len(text.logit), len(gallery)), np.float32)
    threads = _threads(out.size, threads)
    scan = native.Scan(text, gallery, shape, None, threads)
    _in_threads(lambda: scan.scores(found, out), threads)
    return out


def search(
    text: TextVectors,
    gallery: GalleryVectors,
    shape: HeadShape,
    n: int,
    *,
    live: npt.NDArray[np.bool_] | None = None,
    threads: int | None = None,
    impl: Implementation = "auto",
) -> tuple[Floats, Rows]:
    """The ``n`` best videos of each query, best first; among equal scores the lower row first.

    Args:
        n: at least 1; where fewer videos are live, that many are returned.
        live: bool [V]; a false keeps a video out.
        threads: as for ``score``.
        impl: as for ``score``.

    Returns:
        Scores float32 and rows int64, [Q, min(n, live videos)].

    Raises:
        ValueError: as ``score``, or ``n`` is below 1, or ``live`` is not bool [V].
    """
    found = _checked(text, gallery, shape, impl)
    if n < 1:
        raise ValueError(f"n is {n}, it must be at least 1")
    if live is not None and (live.shape != (len(gallery),) or live.dtype != np.bool_ or not live.flags.c_contiguous):
        raise ValueError(f"live is {live.dtype} {list(live.shape)}, must be bool [{len(gallery)}], contiguous")
    n = min(n, len(gallery) if live is None else int(live.sum()))
    if n == 0:
        return np.empty((len(text.logit), 0), np.float32), np.empty((len(text.logit), 0), np.int64)
    if found is None:
        return portable.best(text, gallery, shape, n, live)
    threads = _threads(len(text.logit) * len(gallery), threads)
    scan = native.Scan(text, gallery, shape, live, threads)
    return merge(_in_threads(lambda: scan.best(found, n), threads), n)


def attention(
    text: TextVectors, gallery: GalleryVectors, shape: HeadShape, rows: Rows, *, impl: Implementation = "auto"
) -> Floats:
    """Attention weights float32 [Q, n, F] of each query on videos of its own, averaged over heads.

    Args:
        rows: int64 [Q, n], each from 0 to V - 1.

    Raises:
        ValueError: as ``score``, or rows of another shape or outside the gallery.
    """
    found = _checked(text, gallery, shape, impl)
    fits = rows.ndim == 2 and len(rows) == len(text.logit) and rows.dtype.kind in "iu"
    if not fits or (rows < 0).any() or (rows >= len(gallery)).any():
        raise ValueError(
            f"rows are {rows.dtype} {list(rows.shape)}, must be integers [{len(text.logit)}, n], each of "
            f"{len(gallery)} videos"
        )
    if found is None:
        return portable.attention(text, gallery, shape, rows)
    return native.Scan(text, gallery, shape, None, 1).attention(found, np.ascontiguousarray(rows, np.int64))


def rescore(
    text: TextVectors, gallery: GalleryVectors, shape: HeadShape, rows: Rows, n: int, *, impl: Implementation = "auto"
) -> tuple[Floats, Rows]:
    """The ``n`` best of each query's own short list, scored from a gallery of higher precision than made the list.

    Args:
        rows: int64 [Q, m] of the videos to score, without repetition in a row.
        n: at most m.

    Returns:
        Scores float32 and rows int64, [Q, n], best first, the lower row first among equals.

    Raises:
        ValueError: as ``score``.
    """
    scores = np.empty(rows.shape, np.float32)
    for q, own in enumerate(rows):
        one = text.only(q)
        mean = None if gallery.mean is None else gallery.mean[own]
        part = GalleryVectors(gallery.frames[own], pack_tables(read_rows(gallery.tables, own)), mean)
        scores[q] = score(one, part, shape, threads=1, impl=impl)[0]
    return merge([(scores, rows)], n)


def merge(parts: list[tuple[Floats, Rows]], n: int) -> tuple[Floats, Rows]:
    """The ``n`` best of several lists of candidates [Q, m], best and lower rows first; rows of -1 are none."""
    scores, rows = (np.concatenate(values, axis=1) for values in zip(*parts, strict=True))
    # The last key decides first.
    order = np.lexsort((rows, -scores, rows < 0), axis=1)[:, :n]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def _checked(
    text: TextVectors, gallery: GalleryVectors, shape: HeadShape, impl: Implementation
) -> native.Library | None:
    check_together(text, gallery, shape)
    if impl == "numpy":
        return None
    found = native.available(shape)
    if found is None and impl == "native":
        raise ValueError(
            f"the compiled scorer can't run {shape} here: it needs AVX2, at most {native.MOST_FRAMES} frames, a head "
            f"width that {LANES} divides, and a build with a C compiler"
        )
    return found


def _threads(pairs: int, wanted: int | None) -> int:
    return max(1, min(wanted or len(os.sched_getaffinity(0)), pairs // _PAIRS_PER_THREAD or 1))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="framesift-score")


def _in_threads(work: Callable[[], T], threads: int) -> list[T]:
    others = [_pool().submit(work) for _ in range(threads - 1)]
    return [work(), *(other.result() for other in others)]
