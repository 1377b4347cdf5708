"""Triton kernels of the top-K attention scorer: all pairs of Q queries and V videos, or each query's best.

One program scores a tile of queries against a tile of videos. Two matrix products share one read of the frames: the
logits ``U X^T`` and the readouts ``W X^T``. What follows is small arithmetic on the F logits and F readouts of a pair:
the K largest logits, their softmax ``a``, three quadratic and three linear forms of ``a`` in the video's table, and
``score = (a.s + w.mean + tau0 + sigma tau1 + r tau2) / sqrt(e)`` with ``sigma = sqrt(A)``, ``r = sqrt(B + sigma c2)``
and ``e = E + sigma c3 + r (c4 + 2 kappa sigma)``.

Why it is built this way:

* Columns of the products stand in (frame, video) order. Reshape, permute and split then give every frame a tensor
  [queries, videos] of its own, and since a thread of a tensor-core layout holds the same (query, video) place of each
  of them, everything after the products is elementwise: no shuffles, no shared memory, no padding of F.
* F is cut into powers of two (12 = 8 + 4), each a product of its own.
* The table is read a row at a time, [videos], and broadcast over the queries; 16 videos of a row are contiguous.
* The K largest logits come from a comparator network without branches; logits above the smallest of them are kept, and
  those equal to it in frame order until K are kept.
* A tensor-core tile has 16 rows at least. With up to 8 queries the other 8 rows carry what rounding the text vectors to
  16 bits cut off (``PARTS`` = 2): row r and r + 8 lie in one thread, so their sum costs one addition and the text
  vectors keep about 22 bits. Frames are never rounded further than they are stored.
* Quantised storage holds residuals around a video's mean frame. The mean adds the same to all logits of a pair, which
  the softmax ignores, so only ``w.mean`` is computed; scales are rows of the table.

Letters: F frames, H heads, D width, N = H F attention entries, head-major, S streams (keys and values where H > 1).
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ..device.apart import fold, frames_apart
from ..device.keep import keep
from .epilogue import finish, row, scaled, table_rows, topk_weights
from .operand import operand

PACKED = tl.constexpr(16)
"""Videos of one block of a gallery's table."""


@triton.jit
def _load(at, inside, CACHE: tl.constexpr):
    if inside is None:
        return tl.load(at, cache_modifier=CACHE)
    else:  # noqa: RET505 - a branch taken at compile time
        return tl.load(at, mask=inside, other=0, cache_modifier=CACHE)


@triton.jit
def _text(vectors, at, part, SPLIT: tl.constexpr, DOT: tl.constexpr, inside):
    """Text vectors in the products' dtype; with SPLIT, rows of part 1 hold what rounding rows of part 0 lost."""
    # all programs of a multiprocessor read the same few text vectors: through its first-level cache
    x = _load(vectors + at, inside, ".ca" if SPLIT else "")
    if SPLIT:
        high = x.to(DOT)
        x = tl.where(part, x - high.to(tl.float32), high.to(tl.float32))
    return x.to(DOT)


@triton.jit
def video_tables(TABLE, v0, V, R: tl.constexpr, BV: tl.constexpr, LANES: tl.constexpr):
    """Where row 0 of the tables of the videos from ``v0`` on lies, a pointer [1, BV]; TABLE is [V/LANES, R, LANES]."""
    lane = tl.arange(0, BV)
    if BV <= LANES:
        # what the compiler can't see: the tile begins at a multiple of its own length, so a row is one wide load
        inner = tl.multiple_of(v0 % LANES, BV)
        return TABLE + (v0 // LANES).to(tl.int64) * (R * LANES) + (inner + lane)[None, :]
    else:  # noqa: RET505 - a branch taken at compile time
        # the last tile may reach past the last block of the table
        block = tl.minimum(lane // LANES, (V - 1 - v0) // LANES)
        return TABLE + (v0 // LANES).to(tl.int64) * (R * LANES) + (block * (R * LANES) + lane % LANES)[None, :]


@triton.jit
def tile(
    U, W, TAU, X, TABLE, MEAN, Q, V, query_block, video_block,
    F: tl.constexpr, CHUNKS: tl.constexpr, K: tl.constexpr, H: tl.constexpr, D: tl.constexpr, QUANTISED: tl.constexpr,
    DOT: tl.constexpr, PRECISION: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr, BV: tl.constexpr,
    BK: tl.constexpr, STAGES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Scores [BQ, BV] of one tile, its attention, N tensors [BQ, BV], and the sum of the attention of a pair.

    With PARTS = 2, U and W are packed text (``launch.packed``) or, in float32, the vectors themselves. Rows past Q or V
    repeat the last one or are zero: the caller doesn't store them. TABLE is [V/LANES, R, LANES].
    """
    N: tl.constexpr = H * F
    S: tl.constexpr = 1 if H == 1 else 2
    DH: tl.constexpr = D // H
    WHOLE: tl.constexpr = DH % BK == 0
    M: tl.constexpr = BQ * PARTS
    R: tl.constexpr = table_rows(N) + (S * N if QUANTISED else 0)
    SPLIT: tl.constexpr = PARTS == 2 and U.dtype.element_ty == tl.float32

    q0 = query_block * BQ
    r = tl.arange(0, M)
    part = None
    if PARTS == 2 and not SPLIT:
        text_row = r
        U += q0.to(tl.int64) * (PARTS * D)
        W += q0.to(tl.int64) * (PARTS * D)
    else:
        if SPLIT:
            part = (r // 8 % 2 == 1)[:, None]
            r = r // 16 * 8 + r % 8
        text_row = tl.minimum(r, Q - 1 - q0)
        U += q0.to(tl.int64) * D
        W += q0.to(tl.int64) * D
    k = tl.arange(0, BK)
    text_at = text_row[:, None] * D + k[None, :]

    v0 = video_block * BV
    last = V - 1 - v0
    X += v0.to(tl.int64) * (S * F * D)
    if QUANTISED:
        MEAN += v0.to(tl.int64) * D
    table = video_tables(TABLE, v0, V, R, BV, LANES)

    a = ()
    readout = tl.zeros([BQ, BV], tl.float32)
    if QUANTISED:
        # as wide as the tensor-core tiles of the other products need it, or the layouts differ
        WIDTH: tl.constexpr = 32 if M == 16 and BV < 32 else BV
        bias = tl.zeros([M, WIDTH], tl.float32)
        wide = tl.arange(0, WIDTH)
        mean_inside = (wide < BV)[None, :] if WIDTH > BV else None
        mean_at = tl.minimum(wide % BV, last)[None, :] * D + k[:, None]
    for h in tl.static_range(H):
        key_at = ()
        value_at = ()
        keys = ()
        values = ()
        first = 0
        for c in tl.static_range(len(CHUNKS)):
            n = tl.arange(0, CHUNKS[c] * BV)
            at = (tl.minimum(n % BV, last) * (S * F) + (n // BV + first))[None, :] * D + k[:, None]
            key_at += (at + h * DH,)
            value_at += (at + (h * DH + (S - 1) * F * D),)
            keys += (tl.zeros([M, CHUNKS[c] * BV], tl.float32),)
            values += (tl.zeros([M, CHUNKS[c] * BV], tl.float32),)
            first += CHUNKS[c]
        for step in tl.range(0, DH, BK, num_stages=STAGES):
            if WHOLE:
                text_inside = None
                frame_inside = None
            else:
                text_inside = (k < DH - step)[None, :]
                frame_inside = (k < DH - step)[:, None]
            u = _text(U + (h * DH + step), text_at, part, SPLIT, DOT, text_inside)
            w = _text(W + (h * DH + step), text_at, part, SPLIT, DOT, text_inside)
            keys_next = ()
            values_next = ()
            for c in tl.static_range(len(CHUNKS)):
                x = operand(_load(X + step + key_at[c], frame_inside, ""), DOT)
                keys_next += (tl.dot(u, x, keys[c], input_precision=PRECISION),)
                if S == 2:
                    x = operand(_load(X + step + value_at[c], frame_inside, ""), DOT)
                values_next += (tl.dot(w, x, values[c], input_precision=PRECISION),)
            keys = keys_next
            values = values_next
            if QUANTISED:
                if WHOLE:
                    inside = mean_inside
                elif WIDTH > BV:
                    inside = mean_inside & frame_inside
                else:
                    inside = frame_inside
                mean = _load(MEAN + (h * DH + step) + mean_at, inside, "").to(DOT)
                bias = tl.dot(w, mean, bias)

        logits = ()
        readouts = ()
        for c in tl.static_range(len(CHUNKS)):
            logits += frames_apart(fold(keys[c], BQ, PARTS), BQ, BV, CHUNKS[c])
            readouts += frames_apart(fold(values[c], BQ, PARTS), BQ, BV, CHUNKS[c])
        if QUANTISED:
            UNIT: tl.constexpr = 256.0 if X.dtype.element_ty == tl.uint8 else 1.0
            raw_logits = logits
            raw_readouts = readouts
            logits = ()
            readouts = ()
            for i in tl.static_range(F):
                scale = row(table, table_rows(N) + h * F + i, LANES) * UNIT
                logits += (raw_logits[i] * scale,)
                if S == 2:
                    scale = row(table, table_rows(N) + N + h * F + i, LANES) * UNIT
                readouts += (raw_readouts[i] * scale,)
        weights, total = topk_weights(logits, F, K)
        if H > 1:
            weights = scaled(weights, 1.0 / total)
        for i in tl.static_range(F):
            readout += weights[i] * readouts[i]
        a += weights
    if H > 1:
        total = 1.0
    if QUANTISED:
        readout += frames_apart(fold(bias, BQ, PARTS), BQ, BV, WIDTH // BV)[0] * total
    tau = TAU + q0.to(tl.int64) * 4 + tl.minimum(tl.arange(0, BQ), Q - 1 - q0) * 4
    return finish(a, total, readout, tau, table, N, LANES), a, total


@triton.jit(do_not_specialize=["Q", "V"])
def score_kernel(
    U, W, TAU, X, TABLE, MEAN, LIVE, Q, V, OUT, LARGEST,
    F: tl.constexpr, CHUNKS: tl.constexpr, K: tl.constexpr, H: tl.constexpr, D: tl.constexpr, QUANTISED: tl.constexpr,
    DOT: tl.constexpr, PRECISION: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr, BV: tl.constexpr,
    BK: tl.constexpr, STAGES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """OUT float32 [Q, V] of U, W [Q, D], TAU [Q, 4], X [V, S, F, D], TABLE [V/16, R, 16], MEAN [V, D].

    For LIVE and LARGEST see ``keep``. Grid: one axis, query block fastest: the programs that share frames run together,
    so frames come from memory once.
    """
    query_blocks = tl.cdiv(Q, BQ)
    query_block = tl.program_id(0) % query_blocks
    video_block = tl.program_id(0) // query_blocks
    scores = tile(
        U, W, TAU, X, TABLE, MEAN, Q, V, query_block, video_block,
        F, CHUNKS, K, H, D, QUANTISED, DOT, PRECISION, PARTS, BQ, BV, BK, STAGES, PACKED,
    )[0]  # fmt: skip
    q = query_block * BQ + tl.arange(0, BQ)
    v = video_block * BV + tl.arange(0, BV)
    keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP)
