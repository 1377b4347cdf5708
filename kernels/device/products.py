"""Products of text vectors and a tile's frames, one read of which serves all texts. Letters: F frames, D width."""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl


@triton.jit
def frame_products(
    texts, rows, X, last,
    F: tl.constexpr, CHUNKS: tl.constexpr, D: tl.constexpr, BV: tl.constexpr, BK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """float32 sums [M, n BV] in (frame, video) order: for each chunk of n frames one for each of the ``texts``.

    ``texts`` are pointers to float16 [., D], of each of which ``rows`` int32 [M] are multiplied. X points to the tile's
    first video, float16 [., F, D], ``last`` is its last one, which stands for those beyond. BK divides D.
    """
    k = tl.arange(0, BK)
    at = ()
    sums = ()
    first = 0
    for c in tl.static_range(len(CHUNKS)):
        n = tl.arange(0, CHUNKS[c] * BV)
        at += ((tl.minimum(n % BV, last) * F + (n // BV + first))[None, :] * D + k[:, None],)
        for t in tl.static_range(len(texts)):
            sums += (tl.zeros([rows[t].shape[0], CHUNKS[c] * BV], tl.float32),)
        first += CHUNKS[c]
    text_at = ()
    for t in tl.static_range(len(texts)):
        text_at += (rows[t][:, None] * D + k[None, :],)
    for step in tl.range(0, D, BK, num_stages=STAGES):
        vectors = ()
        for t in tl.static_range(len(texts)):
            vectors += (tl.load(texts[t] + step + text_at[t]),)
        added = ()
        for c in tl.static_range(len(CHUNKS)):
            x = tl.load(X + step + at[c])
            for t in tl.static_range(len(texts)):
                added += (tl.dot(vectors[t], x, sums[c * len(texts) + t]),)
        sums = added
    return sums


@triton.jit
def tile_of(Q, BQ: tl.constexpr, BV: tl.constexpr):
    """First query and first video of this program's tile.

    The grid has one axis, query blocks fastest: programs that share frames run together, so frames come from memory
    once.
    """
    across = tl.cdiv(Q, BQ)
    return tl.program_id(0) % across * BQ, tl.program_id(0) // across * BV


@triton.jit
def vector_rows(q0, Q, BQ: tl.constexpr, PARTS: tl.constexpr):
    """Which vector [BQ * PARTS] of text [Q, PARTS, D], as ``halves`` makes it, each row of a product reads.

    Numbers count from query ``q0`` on; queries past the last repeat it.
    """
    r = tl.arange(0, BQ * PARTS)
    if PARTS == 2:
        return tl.minimum(r // 16 * 8 + r % 8, Q - 1 - q0) * 2 + r // 8 % 2
    else:  # noqa: RET505 - a branch taken at compile time
        return tl.minimum(r, Q - 1 - q0)
