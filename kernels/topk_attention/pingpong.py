"""The scorer for many queries on a Hopper GPU, in Gluon, the lower of `triton`'s languages: products of one tile
of videos under the small arithmetic of another.

Compiled for 9.0 and never run: ``configs`` has it among the candidates, so nothing takes it until it has been measured.
It keeps the text vectors of 64 queries: see ``ring`` for how it is built.

int8 frames are multiplied as they are, with text in two int8 parts. The largest sum, 512 * 127 * 127 * 257 = 2.1e9,
stays within int32. What the mean frame adds, ``w.mean``, stands in OUT before.
"""

from __future__ import annotations

# mypy: ignore-errors
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier

from ..device.apart import frames_apart
from ..device.keep import keep
from ..device.ring import copier, ring_barriers, ring_products
from .epilogue import finish, row, table_rows, topk_weights


@gluon.jit
def _finisher(
    us, ws, xs, ys, full, empty, text, q0, TILES, TAU, UNITS, TABLE, LIVE, Q, V, OUT, LARGEST,
    WHO: gl.constexpr, FRAMES: gl.constexpr, K: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr,
    BK: gl.constexpr, SLOTS: gl.constexpr, GROUP: gl.constexpr,
):  # fmt: skip
    """Four warps: products and scores of every second tile, beginning with number WHO."""
    INT8: gl.constexpr = xs.dtype == gl.int8
    FX: gl.constexpr = FRAMES[0]
    FY: gl.constexpr = FRAMES[1]
    F: gl.constexpr = FX + FY
    R: gl.constexpr = table_rows(F) + (F if INT8 else 0)
    L: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BV, 16])
    STEPS: gl.constexpr = D // BK
    lane = gl.arange(0, BV, layout=gl.SliceLayout(0, L))
    q = q0 + gl.arange(0, BQ, layout=gl.SliceLayout(1, L))
    mbarrier.wait(text, 0)
    step = WHO * STEPS
    for tile in range(gl.program_id(1) + WHO * gl.num_programs(1), TILES, 2 * gl.num_programs(1)):
        kx, wx, ky, wy = ring_products(us, ws, xs, ys, full, empty, step, FRAMES, D, BQ, BV, BK, SLOTS)
        # the other group takes the steps between
        step += 2 * STEPS

        v0 = tile * BV
        table = TABLE + (v0 // 16).to(gl.int64) * (R * 16) + gl.multiple_of(v0 % 16, BV) + lane[None, :]
        raw = frames_apart(kx, BQ, BV, FX) + frames_apart(ky, BQ, BV, FY)
        logits = ()
        if INT8:
            unit = gl.load(UNITS + 2 * q, mask=q < Q, other=0.0)[:, None]
        for i in gl.static_range(F):
            logit = gl.convert_layout(raw[i], L, assert_trivial=True)
            if INT8:
                logit = logit.to(gl.float32) * (row(table, table_rows(F) + i, 16) * unit)
            logits += (logit,)
        weights, total = topk_weights(logits, F, K)
        # behind the softmax, so that not all sums and all logits are numbers of their own at once
        raw = frames_apart(wx, BQ, BV, FX) + frames_apart(wy, BQ, BV, FY)
        readout = gl.zeros([BQ, BV], gl.float32, L)
        for i in gl.static_range(F):
            one = gl.convert_layout(raw[i], L, assert_trivial=True)
            if INT8:
                one = one.to(gl.float32) * row(table, table_rows(F) + i, 16)
            readout += weights[i] * one
        v = v0 + lane
        if INT8:
            at = OUT + q[:, None].to(gl.int64) * V + v[None, :]
            mean = gl.load(at, mask=(q < Q)[:, None] & (v < V)[None, :], other=0.0)
            readout = readout * gl.load(UNITS + 2 * q + 1, mask=q < Q, other=0.0)[:, None] + total * mean
        tau = TAU + gl.minimum(q, Q - 1) * 4
        scores = finish(weights, total, readout, tau, table, F, 16)
        keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP)


@gluon.jit(do_not_specialize=["Q", "V", "TILES"])
def pingpong_kernel(
    U, W, TAU, UNITS, X, Y, TABLE, LIVE, Q, V, TILES, OUT, LARGEST,
    FRAMES: gl.constexpr, K: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr, BK: gl.constexpr,
    SLOTS: gl.constexpr, GROUP: gl.constexpr,
):  # fmt: skip
    """OUT and LARGEST as ``score_kernel`` writes them; grid: query blocks, and programs that share TILES tiles of BV.

    U and W are descriptors of float16 [Q, D] or int8 [Q, 2 D], upper parts first, in boxes [BQ, BK]; UNITS is float32
    [Q, 2], what the int8 parts of U and of W are multiples of. X and Y are the gallery [F, V, D] in boxes of FRAMES[0]
    and of FRAMES[1] frames, [., BV, BK].
    """
    STEPS: gl.constexpr = D // BK
    TEXT: gl.constexpr = STEPS * (2 if X.dtype == gl.int8 else 1)
    us = gl.allocate_shared_memory(U.dtype, [TEXT, BQ, BK], U.layout)
    ws = gl.allocate_shared_memory(W.dtype, [TEXT, BQ, BK], W.layout)
    xs = gl.allocate_shared_memory(X.dtype, [SLOTS, FRAMES[0], BV, BK], X.layout)
    ys = gl.allocate_shared_memory(Y.dtype, [SLOTS, FRAMES[1], BV, BK], Y.layout)
    full, empty, text = ring_barriers(SLOTS)
    q0 = gl.program_id(0) * BQ
    gl.warp_specialize(
        [
            (_finisher, (us, ws, xs, ys, full, empty, text, q0, TILES, TAU, UNITS, TABLE, LIVE, Q, V, OUT, LARGEST,
                         gl.constexpr(0), FRAMES, K, D, BQ, BV, BK, SLOTS, GROUP)),
            (_finisher, (us, ws, xs, ys, full, empty, text, q0, TILES, TAU, UNITS, TABLE, LIVE, Q, V, OUT, LARGEST,
                         gl.constexpr(1), FRAMES, K, D, BQ, BV, BK, SLOTS, GROUP)),
            (copier, (U, W, X, Y, us, ws, xs, ys, full, empty, text, q0, TILES, FRAMES, D, BQ, BV, BK, SLOTS)),
        ],
        [4, 1],
        [232, 40],
    )  # fmt: skip
