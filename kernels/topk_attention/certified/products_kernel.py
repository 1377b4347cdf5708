"""Triton kernel of the certified search's products: int8 steps by the integers of text vectors, exactly.

Sums of integers have no order and no rounding, so nothing that is not known of tensor cores enters the proof here.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

QUERIES = tl.constexpr(8)
"""Of a tile: their integers' high and low bytes are the 16 rows that a tensor core takes."""


@triton.jit
def _whole(sums, BN: tl.constexpr):
    """[16, BN] -> [8, BN]: what high and low bytes gave, put together."""
    high, low = tl.split(tl.permute(tl.reshape(sums, [2, QUERIES, BN]), (1, 2, 0)))
    # what overflows here comes back: the whole fits, because the integers were chosen so
    return high * 256 + low


@triton.jit(do_not_specialize=["Q", "N"])
def products_kernel(U, W, X, Q, N, L, S, D: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """L and S int32 [Q, N] of X int8 [N, D]; a program is 8 queries by BN rows, query block fastest.

    U and W are int8 [16 ceil(Q / 8), D]: of 16 rows the first are the high bytes of 8 queries, the others the low ones.
    """
    WHOLE: tl.constexpr = D % BK == 0
    query_blocks = tl.cdiv(Q, QUERIES)
    query_block = tl.program_id(0) % query_blocks
    n = (tl.program_id(0) // query_blocks).to(tl.int64) * BN + tl.arange(0, BN)
    r = tl.arange(0, 2 * QUERIES)
    k = tl.arange(0, BK)
    text = (query_block * (2 * QUERIES) + r)[:, None] * D + k[None, :]
    # rows past the end repeat the last one and are not stored
    rows = tl.minimum(n, N - 1)[None, :] * D + k[:, None]
    logits = tl.zeros([2 * QUERIES, BN], tl.int32)
    readouts = tl.zeros([2 * QUERIES, BN], tl.int32)
    for step in range(0, D, BK):
        if WHOLE:
            x = tl.load(X + step + rows)
            u = tl.load(U + step + text)
            w = tl.load(W + step + text)
        else:
            x = tl.load(X + step + rows, mask=(k < D - step)[:, None], other=0)
            u = tl.load(U + step + text, mask=(k < D - step)[None, :], other=0)
            w = tl.load(W + step + text, mask=(k < D - step)[None, :], other=0)
        logits = tl.dot(u, x, logits, out_dtype=tl.int32)
        readouts = tl.dot(w, x, readouts, out_dtype=tl.int32)
    q = query_block * QUERIES + tl.arange(0, QUERIES)
    at = q[:, None].to(tl.int64) * N + n[None, :]
    inside = (q < Q)[:, None] & (n < N)[None, :]
    tl.store(L + at, _whole(logits, BN), mask=inside)
    tl.store(S + at, _whole(readouts, BN), mask=inside)
