"""The scorer for many queries on a Hopper GPU, in Gluon, Triton's own lower language: products of one tile of videos
under the small arithmetic of another.

Compiled for 9.0 and never run: ``configs`` has it among the candidates, so nothing takes it until it has been measured.

A program keeps the text vectors of 64 queries in shared memory. One warp copies frames, step by step and tile by tile,
into a ring of slots; two groups of four warps take tiles in turn. The ring's order puts them half a tile apart, so one
multiplies while the other finishes, and frames come from the second-level cache once for all 64 queries, where the
portable kernel fetches the text vectors for every 8 videos again.

int8 frames are multiplied as they are. The text is two int8 parts, 256 apart: the sums of the upper part are multiplied
by 256 before those of the lower are added to them, in the same registers. The largest, 512 * 127 * 127 * 257 = 2.1e9,
stays within int32. What the mean frame adds, ``w.mean``, stands in OUT before.
"""

from __future__ import annotations

# mypy: ignore-errors
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from .epilogue import finish, frames_apart, row, table_rows, topk_weights
from .keep import keep

# Triton renamed it between 3.6 and 3.9.
_copied = getattr(tma, "async_load", None) or tma.async_copy_global_to_shared


@gluon.jit
def _copier(
    U, W, X, Y, us, ws, xs, ys, full, empty, text, q0, TILES,
    FRAMES: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr, BK: gl.constexpr, SLOTS: gl.constexpr,
):  # fmt: skip
    """One warp: the text once, then the frames of every tile, step by step, into the next slot that is empty."""
    TEXT: gl.constexpr = us.shape[0]
    BYTES: gl.constexpr = U.dtype.primitive_bitwidth // 8
    FX: gl.constexpr = FRAMES[0]
    FY: gl.constexpr = FRAMES[1]
    mbarrier.expect(text, 2 * TEXT * BQ * BK * BYTES)
    for j in gl.static_range(TEXT):
        _copied(U, [q0, j * BK], text, us.index(j))
        _copied(W, [q0, j * BK], text, ws.index(j))
    step = 0
    for tile in range(gl.program_id(1), TILES, gl.num_programs(1)):
        for k in range(0, D, BK):
            slot = step % SLOTS
            mbarrier.wait(empty.index(slot), ((step // SLOTS) & 1) ^ 1)
            mbarrier.expect(full.index(slot), (FX + FY) * BV * BK * BYTES)
            _copied(X, [0, tile * BV, k], full.index(slot), xs.index(slot))
            _copied(Y, [FX, tile * BV, k], full.index(slot), ys.index(slot))
            step += 1


@gluon.jit
def _finisher(
    us, ws, xs, ys, full, empty, text, q0, TILES, TAU, UNITS, TABLE, LIVE, Q, V, OUT, LARGEST,
    WHO: gl.constexpr, FRAMES: gl.constexpr, K: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr,
    BK: gl.constexpr, SLOTS: gl.constexpr, GROUP: gl.constexpr,
):  # fmt: skip
    """Four warps: products and scores of every second tile, beginning with number WHO."""
    INT8: gl.constexpr = xs.dtype == gl.int8
    SUMS: gl.constexpr = gl.int32 if INT8 else gl.float32
    DEEP: gl.constexpr = 32 if INT8 else 16
    FX: gl.constexpr = FRAMES[0]
    FY: gl.constexpr = FRAMES[1]
    F: gl.constexpr = FX + FY
    R: gl.constexpr = table_rows(F) + (F if INT8 else 0)
    LX: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, FX * BV, DEEP])
    LY: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, FY * BV, DEEP])
    L: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BV, 16])
    STEPS: gl.constexpr = D // BK
    PARTS: gl.constexpr = us.shape[0] // STEPS
    lane = gl.arange(0, BV, layout=gl.SliceLayout(0, L))
    q = q0 + gl.arange(0, BQ, layout=gl.SliceLayout(1, L))
    mbarrier.wait(text, 0)
    step = WHO * STEPS
    for tile in range(gl.program_id(1) + WHO * gl.num_programs(1), TILES, 2 * gl.num_programs(1)):
        kx = gl.zeros([BQ, FX * BV], SUMS, LX)
        wx = gl.zeros([BQ, FX * BV], SUMS, LX)
        ky = gl.zeros([BQ, FY * BV], SUMS, LY)
        wy = gl.zeros([BQ, FY * BV], SUMS, LY)
        for part in gl.static_range(PARTS):
            for k in range(STEPS):
                slot = (step + k) % SLOTS
                if part == 0:
                    mbarrier.wait(full.index(slot), ((step + k) // SLOTS) & 1)
                x = xs.index(slot).reshape([FX * BV, BK]).permute((1, 0))
                y = ys.index(slot).reshape([FY * BV, BK]).permute((1, 0))
                kx = warpgroup_mma(us.index(part * STEPS + k), x, kx, is_async=True)
                wx = warpgroup_mma(ws.index(part * STEPS + k), x, wx, is_async=True)
                ky = warpgroup_mma(us.index(part * STEPS + k), y, ky, is_async=True)
                wy = warpgroup_mma(ws.index(part * STEPS + k), y, wy, is_async=True)
                kx, wx, ky, wy = warpgroup_mma_wait(0, deps=[kx, wx, ky, wy])
                if part == PARTS - 1:
                    mbarrier.arrive(empty.index(slot), count=1)
            if part < PARTS - 1:
                kx = kx * 256
                wx = wx * 256
                ky = ky * 256
                wy = wy * 256
        # the other group takes the steps between
        step += 2 * STEPS

        v0 = tile * BV
        table = TABLE + (v0 // 16).to(gl.int64) * (R * 16) + gl.multiple_of(v0 % 16, BV) + lane[None, :]
        raw_logits = frames_apart(kx, BQ, BV, FX) + frames_apart(ky, BQ, BV, FY)
        raw_readouts = frames_apart(wx, BQ, BV, FX) + frames_apart(wy, BQ, BV, FY)
        logits = ()
        readouts = ()
        if INT8:
            unit = gl.load(UNITS + 2 * q, mask=q < Q, other=0.0)[:, None]
        for i in gl.static_range(F):
            logit = gl.convert_layout(raw_logits[i], L, assert_trivial=True)
            readout = gl.convert_layout(raw_readouts[i], L, assert_trivial=True)
            if INT8:
                size = row(table, table_rows(F) + i, 16)
                logit = logit.to(gl.float32) * (size * unit)
                readout = readout.to(gl.float32) * size
            logits += (logit,)
            readouts += (readout,)
        weights, total = topk_weights(logits, F, K)
        readout = weights[0] * readouts[0]
        for i in gl.static_range(1, F):
            readout += weights[i] * readouts[i]
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
    full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    text = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    for i in gl.static_range(SLOTS):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=1)
    mbarrier.init(text, count=1)
    fence_async_shared()
    q0 = gl.program_id(0) * BQ
    gl.warp_specialize(
        [
            (_finisher, (us, ws, xs, ys, full, empty, text, q0, TILES, TAU, UNITS, TABLE, LIVE, Q, V, OUT, LARGEST,
                         gl.constexpr(0), FRAMES, K, D, BQ, BV, BK, SLOTS, GROUP)),
            (_finisher, (us, ws, xs, ys, full, empty, text, q0, TILES, TAU, UNITS, TABLE, LIVE, Q, V, OUT, LARGEST,
                         gl.constexpr(1), FRAMES, K, D, BQ, BV, BK, SLOTS, GROUP)),
            (_copier, (U, W, X, Y, us, ws, xs, ys, full, empty, text, q0, TILES, FRAMES, D, BQ, BV, BK, SLOTS)),
        ],
        [4, 1],
        [232, 24],
    )  # fmt: skip
