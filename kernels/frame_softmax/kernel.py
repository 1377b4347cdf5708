"""Triton kernel of TS2-Net's score: all pairs of Q texts and V videos. ``reference`` has the formula.

One product of a tile of texts and all frames of a tile of videos. Each frame's similarities are a tensor of their own
then, so the length of a pair's vector, the softmax and the sum are elementwise: see ``apart``.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ..device.apart import fold, frames_apart
from ..device.keep import keep, numbers
from ..device.products import frame_products, tile_of, vector_rows

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit(do_not_specialize=["Q", "V"])
def frame_softmax_kernel(
    TEXT, UNIT, X, MASK, LIVE, Q, V, SHARPNESS, OUT, LARGEST,
    F: tl.constexpr, CHUNKS: tl.constexpr, D: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr, BV: tl.constexpr,
    BK: tl.constexpr, STAGES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """OUT float32 [Q, V] of TEXT float16 [Q, PARTS, D] in UNIT [Q], X float16 [V, F, D] and MASK float16 [V, F].

    See ``keep`` for the others.
    """
    q0, v0 = tile_of(Q, BQ, BV)
    texts = (TEXT + q0.to(tl.int64) * (PARTS * D),)
    rows = (vector_rows(q0, Q, BQ, PARTS),)
    sums = frame_products(texts, rows, X + v0.to(tl.int64) * (F * D), V - 1 - v0, F, CHUNKS, D, BV, BK, STAGES)
    similar = ()
    for c in tl.static_range(len(CHUNKS)):
        similar += frames_apart(fold(sums[c], BQ, PARTS), BQ, BV, CHUNKS[c])

    q = q0 + tl.arange(0, BQ)
    v = v0 + tl.arange(0, BV)
    mask_at = (MASK + tl.minimum(v, V - 1).to(tl.int64) * F)[None, :]
    squares = tl.zeros([BQ, BV], tl.float32)
    most = tl.full([BQ, BV], float("-inf"), tl.float32)
    for f in tl.static_range(F):
        mask = tl.load(mask_at + f).to(tl.float32)
        masked = similar[f] * mask
        squares = tl.fma(masked, masked, squares)
        most = tl.maximum(most, tl.where(mask != 0, masked, float("-inf")))
    scale = SHARPNESS * LOG2_E * tl.rsqrt(squares)
    total = tl.zeros([BQ, BV], tl.float32)
    score = tl.zeros([BQ, BV], tl.float32)
    for f in tl.static_range(F):
        mask = tl.load(mask_at + f).to(tl.float32)
        weight = tl.where(mask != 0, tl.exp2((similar[f] * mask - most) * scale), 0.0)
        total += weight
        score = tl.fma(weight, similar[f], score)
    unit = tl.load(UNIT + tl.minimum(q, Q - 1))[:, None]
    # without a frame that counts it is 0 / 0, and with a vector of length zero 0 * inf: no number, as the formula's
    scores = numbers(score / total * unit)
    keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP)
