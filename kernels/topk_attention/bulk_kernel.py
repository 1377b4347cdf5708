"""``score_kernel`` with its frames and text moved by the bulk copy engine of Hopper and later GPUs.

One copy brings all frames of a step, as a box of a gallery that is seen as [F, V, D]: so its rows lie in (frame, video)
order, as the products want them, and travel through no register. Frames past the last video arrive as zeros, without a
mask. It serves one head, 16-bit storage, and numbers of frames that are sums of powers of two of two kinds at most;
elsewhere ``score_kernel`` does.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ..device.apart import fold, frames_apart
from ..device.keep import keep
from .epilogue import finish, table_rows, topk_weights
from .kernel import PACKED, video_tables


@triton.jit(do_not_specialize=["Q", "V"])
def bulk_kernel(
    U, W, TAU, X, Y, TABLE, LIVE, Q, V, OUT, LARGEST,
    F: tl.constexpr, CHUNKS: tl.constexpr, K: tl.constexpr, D: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr,
    BV: tl.constexpr, BK: tl.constexpr, STAGES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """OUT and LARGEST as ``score_kernel`` writes them, of descriptors of text and frames; the grid is the same.

    U and W are [Q * PARTS, D] in boxes [BQ * PARTS, BK]. X and Y are the gallery [F, V, D]: X in boxes of as many
    frames as the first chunk has, [CHUNKS[0], BV, BK], Y in boxes of the others.
    """
    query_blocks = tl.cdiv(Q, BQ)
    query_block = tl.program_id(0) % query_blocks
    video_block = tl.program_id(0) // query_blocks
    q0 = query_block * BQ
    v0 = video_block * BV
    keys = ()
    values = ()
    for c in tl.static_range(len(CHUNKS)):
        keys += (tl.zeros([BQ * PARTS, CHUNKS[c] * BV], tl.float32),)
        values += (tl.zeros([BQ * PARTS, CHUNKS[c] * BV], tl.float32),)
    for step in tl.range(0, D, BK, num_stages=STAGES):
        u = U.load([q0 * PARTS, step])
        w = W.load([q0 * PARTS, step])
        keys_next = ()
        values_next = ()
        first = 0
        for c in tl.static_range(len(CHUNKS)):
            if CHUNKS[c] == CHUNKS[0]:  # noqa: SIM108 - a branch taken at compile time
                box = X.load([first, v0, step])
            else:
                box = Y.load([first, v0, step])
            x = box.reshape([CHUNKS[c] * BV, BK]).T
            keys_next += (tl.dot(u, x, keys[c]),)
            values_next += (tl.dot(w, x, values[c]),)
            first += CHUNKS[c]
        keys = keys_next
        values = values_next

    logits = ()
    readouts = ()
    for c in tl.static_range(len(CHUNKS)):
        logits += frames_apart(fold(keys[c], BQ, PARTS), BQ, BV, CHUNKS[c])
        readouts += frames_apart(fold(values[c], BQ, PARTS), BQ, BV, CHUNKS[c])
    weights, total = topk_weights(logits, F, K)
    readout = weights[0] * readouts[0]
    for i in tl.static_range(1, F):
        readout += weights[i] * readouts[i]
    table = video_tables(TABLE, v0, V, table_rows(F), BV, PACKED)
    tau = TAU + q0.to(tl.int64) * 4 + tl.minimum(tl.arange(0, BQ), Q - 1 - q0) * 4
    scores = finish(weights, total, readout, tau, table, F, PACKED)
    keep(scores, q0 + tl.arange(0, BQ), v0 + tl.arange(0, BV), Q, V, LIVE, OUT, LARGEST, GROUP)
