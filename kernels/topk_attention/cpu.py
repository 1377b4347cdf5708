"""Scoring on the CPU, from the records of ``factorised`` in float32, float16 or int8 storage.

``native`` runs where it was compiled; else numpy does, which multiplies as fast but converts storage and finishes pairs
more slowly. Neither ever holds anything of size [Q, V F]: blocks of videos are scored one after another.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..library import Library
from ..walk import Live, Rows, ascending, check_search, in_gallery
from . import native, portable
from .layout import LANES, HeadShape
from .operands import Floats, GalleryVectors, TextVectors, check_together

Implementation = Literal["auto", "native", "numpy"]


def score(
    text: TextVectors,
    gallery: GalleryVectors,
    shape: HeadShape,
    *,
    rows: Rows | None = None,
    threads: int | None = None,
    impl: Implementation = "auto",
) -> Floats:
    """Scores float32 [Q, V] in [-1, 1], or [Q, R] of R rows.

    Args:
        rows: int64 [R], the videos to score, in any order; no others are read. The compiled library gives each the
            score that it has among all, to the bit.
        threads: how many work at once; by default as many as there are cores and work for.
        impl: "native" is the compiled library, "numpy" needs nothing, "auto" takes the faster one that is there.

    Raises:
        ValueError: the arguments don't belong together, rows that the gallery doesn't have, or "native" can't score
            them here.
    """
    found = _checked(text, gallery, shape, impl)
    if found is not None:
        return native.TopKScan(text, gallery, shape).score(found, rows=rows, threads=threads)
    return portable.score(text, gallery, shape, None if rows is None else in_gallery(rows, len(gallery)))


def search(
    text: TextVectors,
    gallery: GalleryVectors,
    shape: HeadShape,
    n: int,
    *,
    rows: Rows | None = None,
    live: Live | None = None,
    threads: int | None = None,
    impl: Implementation = "auto",
) -> tuple[Floats, Rows]:
    """The ``n`` best videos of each query, best first; among equal scores the lower row first.

    A few live videos of many are found as fast by ``live`` as by ``rows``: what is not live is not read.

    Args:
        n: at least 1; where fewer videos are live, that many are returned.
        rows: as for ``score``: the only videos that are found, each once.
        live: bool [V]; a false keeps a video out.
        threads: as for ``score``.
        impl: as for ``score``.

    Returns:
        Scores float32 and rows int64, [Q, min(n, live videos)].

    Raises:
        ValueError: as ``score``, or ``n`` is below 1, or ``live`` is not bool [V].
    """
    found = _checked(text, gallery, shape, impl)
    if found is not None:
        return native.TopKScan(text, gallery, shape).search(found, n, rows=rows, live=live, threads=threads)
    check_search(n, live, len(gallery))
    chosen = np.arange(len(gallery)) if rows is None else ascending(rows, len(gallery))[0]
    return portable.best(text, gallery, shape, n, chosen if live is None else chosen[live[chosen]])


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
    return native.TopKScan(text, gallery, shape).attention(found, np.ascontiguousarray(rows, np.int64))


def _checked(text: TextVectors, gallery: GalleryVectors, shape: HeadShape, impl: Implementation) -> Library | None:
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
