"""What ping-pong kernels for many queries on a Hopper GPU share, in Gluon, the lower of `triton`'s languages.

A program keeps 128 rows of text vectors in shared memory, as two operands of 64. One warp copies frames, step by step
and tile by tile, into a ring of slots; two groups of four warps take tiles in turn. The ring's order puts them half a
tile apart, so one multiplies while the other finishes, and frames come from the second-level cache once for all rows,
where a portable kernel fetches the text vectors for every 8 videos again.

A thread of a group has 232 registers and one of the copying warp 40, of the 504 that 12 warps of a multiprocessor share
for three of them: with 24 the copies of the text would spill.
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

# `triton` renamed it between 3.6 and 3.9.
_copied = getattr(tma, "async_load", None) or tma.async_copy_global_to_shared


@gluon.jit
def copier(
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
def ring_barriers(SLOTS: gl.constexpr):
    """Barriers [SLOTS] of slots that are full and that are empty, and one of the text: made before the warps part."""
    full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    text = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    for i in gl.static_range(SLOTS):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=1)
    mbarrier.init(text, count=1)
    fence_async_shared()
    return full, empty, text


@gluon.jit
def ring_products(
    us, ws, xs, ys, full, empty, step,
    FRAMES: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr, BK: gl.constexpr, SLOTS: gl.constexpr,
):  # fmt: skip
    """The sums of the tile whose first step is number ``step``, [BQ, FRAMES * BV]: of u and w with x, and with y.

    int8 text comes in two parts, 256 apart: the sums of the upper part are multiplied by 256 before those of the lower
    are added to them, in the same registers.
    """
    INT8: gl.constexpr = xs.dtype == gl.int8
    SUMS: gl.constexpr = gl.int32 if INT8 else gl.float32
    DEEP: gl.constexpr = 32 if INT8 else 16
    FX: gl.constexpr = FRAMES[0]
    FY: gl.constexpr = FRAMES[1]
    LX: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, FX * BV, DEEP])
    LY: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, FY * BV, DEEP])
    STEPS: gl.constexpr = D // BK
    PARTS: gl.constexpr = us.shape[0] // STEPS
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
    return kx, wx, ky, wy
