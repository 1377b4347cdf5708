"""What the Triton kernels do with the scores of a tile: store them, and each query's largest of a group of videos."""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

LOWEST = tl.constexpr(-0x80000000)
"""Below ``ordered`` of every number."""
LEAST = tl.constexpr(-3.4028234663852886e38)
"""The least number of float32."""


@triton.jit
def ordered(scores):
    """int32 that rise with the float32 scores; both zeros are one number."""
    bits = tl.where(scores == 0.0, 0.0, scores).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP: tl.constexpr):
    """Store scores [queries, videos] of the queries ``q`` and videos ``v``, which lie in one group.

    OUT is float32 [Q, V]. With LARGEST, int32 [Q, V/GROUP] that begins with ``LOWEST``, a search follows: a group's
    largest score is kept there as ``ordered``, and videos that LIVE (uint8 [V]) has as 0 score -inf. Both may be None.
    """
    if LARGEST is not None:
        wanted = v < V
        if LIVE is not None:
            alive = tl.load(LIVE + v, mask=wanted, other=0) != 0
            scores = tl.where(alive[None, :], scores, float("-inf"))
        largest = tl.max(tl.where(wanted[None, :], ordered(scores), LOWEST), 1)
        group = tl.min(v, 0) // GROUP
        tl.atomic_max(LARGEST + q.to(tl.int64) * tl.cdiv(V, GROUP) + group, largest, mask=q < Q, sem="relaxed")
    tl.store(OUT + q[:, None].to(tl.int64) * V + v[None, :], scores, mask=(q < Q)[:, None] & (v < V)[None, :])


@triton.jit
def numbers(scores):
    """``scores``, and LEAST where they are none: a video that can't be scored comes last, and -inf is of no video."""
    return tl.where(scores > float("-inf"), scores, LEAST)


@triton.jit(do_not_specialize=["Q", "V"])
def keep_kernel(OUT, LIVE, Q, V, LARGEST, BQ: tl.constexpr, GROUP: tl.constexpr):
    """``keep`` of scores that another kernel has stored; a program for a group of videos and BQ queries."""
    across = tl.cdiv(Q, BQ)
    q = tl.program_id(0) % across * BQ + tl.arange(0, BQ)
    v = tl.program_id(0) // across * GROUP + tl.arange(0, GROUP)
    inside = (q < Q)[:, None] & (v < V)[None, :]
    scores = tl.load(OUT + q[:, None].to(tl.int64) * V + v[None, :], mask=inside, other=0.0)
    keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP)
