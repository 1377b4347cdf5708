"""Triton kernel of a search's last step: the best videos of each query, from its scores and the groups' largest.

A video among the n best lies in one of the n groups that are best by (largest score, lower group): if it didn't, each
of the n would hold a video that comes before it, by a higher score or by an equal one in a lower row. So only n groups
are looked at, and ties fall as in a stable sort of all scores.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from .keep import LOWEST, ordered

NOTHING = tl.constexpr(-0x7FFFFFFFFFFFFFFF)
"""A key below that of everything."""


@triton.jit
def _keys(order, places, wanted):
    """int64 that rise with ``order`` and, of equal ones, fall with the place."""
    keys = (order.to(tl.int64) << 32) | (0x7FFFFFFF - places).to(tl.int64)
    return tl.where(wanted, keys, NOTHING)


@triton.jit
def _merged(best, keys, N: tl.constexpr):
    """The N largest of [N] and [M] keys, sorted; M is larger than N, or as large."""
    if tl.max(keys, 0) > tl.min(best, 0):
        top = tl.topk(keys, N, 0)
        best = tl.topk(tl.reshape(tl.join(best, top), [2 * N]), N, 0)
    return best


@triton.jit(do_not_specialize=["V", "START"])
def select_kernel(
    SCORES, LARGEST, V, START, BEST, ROWS, N: tl.constexpr, WANTED: tl.constexpr, GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """BEST float32 and ROWS int32 [Q, WANTED] of SCORES [Q, V] and LARGEST int32 [Q, V/GROUP]; a program a query.

    Of equal scores the lower row comes first. Rows begin at START. Scores of -inf are of no video: where there are no
    others, -inf and row -1 fill up. N is a power of two from WANTED on, and at most GROUP and BLOCK.
    """
    query = tl.program_id(0).to(tl.int64)
    groups = tl.cdiv(V, GROUP)
    best = tl.full([N], NOTHING, tl.int64)
    for start in range(0, groups, BLOCK):
        group = start + tl.arange(0, BLOCK)
        inside = group < groups
        largest = tl.load(LARGEST + query * groups + group, mask=inside, other=LOWEST)
        best = _merged(best, _keys(largest, group, inside), N)

    found = tl.full([N], NOTHING, tl.int64)
    place = tl.arange(0, N)
    for i in range(tl.minimum(groups, N)):
        key = tl.sum(tl.where(place == i, best, 0), 0)
        v = (0x7FFFFFFF - (key & 0x7FFFFFFF)).to(tl.int32) * GROUP + tl.arange(0, GROUP)
        scores = tl.load(SCORES + query * V + v, mask=v < V, other=float("-inf"))
        found = _merged(found, _keys(ordered(scores), v, scores != float("-inf")), N)

    something = found > NOTHING
    bits = (found >> 32).to(tl.int32)
    scores = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.float32, bitcast=True)
    rows = START + (0x7FFFFFFF - (found & 0x7FFFFFFF).to(tl.int32))
    at = query * WANTED + place
    tl.store(BEST + at, tl.where(something, scores, float("-inf")), mask=place < WANTED)
    tl.store(ROWS + at, tl.where(something, rows, -1), mask=place < WANTED)
