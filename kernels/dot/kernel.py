"""Triton kernel of dot products: all pairs of Q texts and V videos, with what a search keeps of them.

A library's product would write its scores before a search could look at them; here the largest of a group of videos is
kept while they are in registers.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ..device.apart import fold
from ..device.keep import keep, numbers
from ..device.products import frame_products, tile_of, vector_rows


@triton.jit(do_not_specialize=["Q", "V"])
def dot_kernel(
    TEXT, UNIT, X, LIVE, Q, V, OUT, LARGEST,
    F: tl.constexpr, CHUNKS: tl.constexpr, D: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr, BV: tl.constexpr,
    BK: tl.constexpr, STAGES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """OUT float32 [Q, V] of TEXT float16 [Q, PARTS, D] in UNIT float32 [Q] and X float16 [V, 1, D]. See ``keep``."""
    q0, v0 = tile_of(Q, BQ, BV)
    texts = (TEXT + q0.to(tl.int64) * (PARTS * D),)
    rows = (vector_rows(q0, Q, BQ, PARTS),)
    sums = frame_products(texts, rows, X + v0.to(tl.int64) * D, V - 1 - v0, F, CHUNKS, D, BV, BK, STAGES)
    q = q0 + tl.arange(0, BQ)
    unit = tl.load(UNIT + tl.minimum(q, Q - 1))[:, None]
    scores = numbers(fold(sums[0], BQ, PARTS) * unit)
    keep(scores, q, v0 + tl.arange(0, BV), Q, V, LIVE, OUT, LARGEST, GROUP)
