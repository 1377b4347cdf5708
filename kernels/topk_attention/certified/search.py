"""The float16 search, certified: its rows, its order and its scores to the bit, from half of its bytes.

Letters in shapes: ``layout``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...walk import Live, Rows, ascending, check_search
from .. import cpu
from ..biases import Biases
from ..layout import HeadShape
from ..native import available
from ..operands import Floats, GalleryVectors, TextVectors, check_together
from .native import CertifiedScan, integers
from .records import StepVectors

# Where more than every so-manieth video is asked for, bounds leave too many.
_SHARE = 4


@dataclass(frozen=True)
class Found:
    """Scores float32 and rows int64 [Q, n], best first, and how many videos each query scored in float16 [Q]."""

    scores: Floats
    rows: Rows
    rescored: Rows


def search(
    text: TextVectors,
    gallery: GalleryVectors,
    steps: StepVectors,
    shape: HeadShape,
    biases: Biases,
    n: int,
    *,
    rows: Rows | None = None,
    live: Live | None = None,
    threads: int | None = None,
    products: bool | None = None,
) -> Found:
    """What ``cpu.search`` finds in ``gallery``, float16, whose videos ``records.encode`` made ``steps`` of.

    Args:
        n, rows, live, threads: as for ``cpu.search``.
        products: whether products of steps are made in integers; by default where each is one instruction.

    Raises:
        ValueError: as ``cpu.search``, or steps of another number of videos, or a scorer of several heads.
    """
    if shape.heads > 1:
        raise ValueError(f"int8 steps serve one head, not {shape.heads}: search in float16")
    check_together(text, gallery, shape)
    check_search(n, live, len(gallery))
    if gallery.frames.dtype != np.float16 or steps.steps.shape != (len(gallery), shape.frames + 1, shape.width):
        raise ValueError(
            f"steps are {list(steps.steps.shape)}, the gallery is {gallery.frames.dtype} {list(gallery.frames.shape)}"
        )
    chosen = None if rows is None else ascending(rows, len(gallery))[0]
    if live is not None and chosen is not None:
        chosen, live = chosen[live[chosen]], None
    scored = len(gallery) if chosen is None else len(chosen)
    count = scored if live is None else int(live.sum())
    found = available(shape)
    if found is not None and n * _SHARE <= count and (text.scalars[:, 3] == np.float32(biases.kappa)).all():
        whole = integers(found) and shape.width % 64 == 0 if products is None else products
        scan = CertifiedScan(text, gallery, steps, shape, biases, integers=whole)
        scores, best = scan.search(found, n, rows=chosen, live=live, threads=threads)
        if not scan.gave_up:
            return Found(scores, best, scan.rescored)
    scores, best = cpu.search(text, gallery, shape, n, rows=chosen, live=live, threads=threads)
    return Found(scores, best, np.full(len(text.logit), count, np.int64))
