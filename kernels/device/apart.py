"""The results of tile products taken apart: halves of text vectors added, frames and words as tensors of their own.

Columns of the products stand in (frame, video) order. Reshape, permute and split give every frame a tensor [rows,
videos], and since a thread of a tensor-core layout holds the same (row, video) place of each of them, what follows is
elementwise: no shuffles, no shared memory, no padding of the frames.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl


@triton.jit
def parted(acc, ROWS: tl.constexpr):
    """[ROWS * 2, C] -> two of [ROWS, C]: the rows r and r + 8 of every 16, both of which a thread holds."""
    halves = tl.reshape(acc, [ROWS // 8, 2, 8, acc.shape[1]])
    first, second = tl.split(tl.permute(halves, (0, 2, 3, 1)))
    return tl.reshape(first, [ROWS, acc.shape[1]]), tl.reshape(second, [ROWS, acc.shape[1]])


@triton.jit
def fold(acc, ROWS: tl.constexpr, PARTS: tl.constexpr):
    """[ROWS * PARTS, C] -> [ROWS, C]: the rows of the high and the low halves of the text vectors added."""
    if PARTS == 2:
        high, low = parted(acc, ROWS)
        acc = high + low
    return acc


@triton.jit
def _halve(tensors):
    """Split the last axis, of length 2, of every tensor: all first halves, then all second halves."""
    first = ()
    second = ()
    for i in tl.static_range(len(tensors)):
        x, y = tl.split(tensors[i])
        first += (x,)
        second += (y,)
    return first + second


@triton.constexpr_function
def halved(rows, videos, n):
    """[rows, videos, 2, 2, ...] for ``n`` values, a power of two."""
    return [rows, videos] + [2] * (n.bit_length() - 1)


@triton.jit
def frames_apart(acc, ROWS: tl.constexpr, BV: tl.constexpr, C: tl.constexpr):
    """[ROWS, C * BV] in (frame, video) order -> C tensors [ROWS, BV]; C in 1, 2, 4, 8, 16."""
    x = tl.permute(tl.reshape(acc, [ROWS, C, BV]), (0, 2, 1))
    tensors = (tl.reshape(x, halved(ROWS, BV, C)),)
    LEVELS: tl.constexpr = C.bit_length() - 1
    for _ in tl.static_range(LEVELS):
        tensors = _halve(tensors)
    return tensors


@triton.jit
def word_rows(q0, Q, BQ: tl.constexpr, W: tl.constexpr, PARTS: tl.constexpr):
    """Which vector [BQ * W * PARTS] of text [Q, PARTS, W, D], as ``words`` makes it, each row of a product reads.

    Numbers count from query ``q0`` on; queries past the last repeat it. A thread of a tensor-core layout has rows r and
    r + 8, eight lanes the rows from r on, and warps begin 16 apart: so with 4 queries and 4 warps the words of a query
    stay within a warp, and the halves of a vector within a thread.
    """
    r = tl.arange(0, BQ * W * PARTS)
    q = tl.minimum(r // 16 % BQ, Q - 1 - q0)
    step = r // (16 * BQ)
    if PARTS == 2:
        return (q * 2 + r // 8 % 2) * W + step * 8 + r % 8
    else:  # noqa: RET505 - a branch taken at compile time
        return q * W + step * 16 + r % 16


@triton.jit
def words_apart(x, BQ: tl.constexpr, W: tl.constexpr, PARTS: tl.constexpr):
    """[BQ * W, BV], rows folded and in the order of ``word_rows`` -> [BQ, W, BV]."""
    TOGETHER: tl.constexpr = 16 // PARTS
    x = tl.reshape(x, [W // TOGETHER, BQ, TOGETHER, x.shape[1]])
    return tl.reshape(tl.permute(x, (1, 0, 2, 3)), [BQ, W, x.shape[3]])
