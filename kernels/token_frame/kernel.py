"""Triton kernel of Mug-STAN's score: all pairs of Q texts and V videos. ``reference`` has the formula.

One product: rows are the words of a tile of texts, columns the frames of a tile of videos. A softmax over frames is
elementwise then, see ``apart``; one over words is a sum within a warp, for many texts, and across warps for few.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ..device.apart import fold, frames_apart, word_rows, words_apart
from ..device.keep import keep, numbers
from ..device.products import frame_products, tile_of
from .epilogue import pooled


@triton.jit(do_not_specialize=["Q", "V"])
def token_frame_kernel(
    TEXT, X, LIVE, Q, V, SHARPNESS, OUT, LARGEST,
    F: tl.constexpr, CHUNKS: tl.constexpr, D: tl.constexpr, W: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr,
    BV: tl.constexpr, BK: tl.constexpr, STAGES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """OUT float32 [Q, V] of TEXT float16 [Q, PARTS, W, D], zeros where there is no word, and X float16 [V, F, D].

    See ``keep`` for the others.
    """
    q0, v0 = tile_of(Q, BQ, BV)
    texts = (TEXT + q0.to(tl.int64) * (PARTS * W * D),)
    rows = (word_rows(q0, Q, BQ, W, PARTS),)
    sums = frame_products(texts, rows, X + v0.to(tl.int64) * (F * D), V - 1 - v0, F, CHUNKS, D, BV, BK, STAGES)
    apart = ()
    for c in tl.static_range(len(CHUNKS)):
        apart += frames_apart(fold(sums[c], BQ * W, PARTS), BQ * W, BV, CHUNKS[c])
    similar = ()
    for f in tl.static_range(F):
        similar += (words_apart(apart[f], BQ, W, PARTS),)
    scores = numbers(pooled(similar, F, SHARPNESS))
    keep(scores, q0 + tl.arange(0, BQ), v0 + tl.arange(0, BV), Q, V, LIVE, OUT, LARGEST, GROUP)
