"""Mug-STAN's score for many texts on a Hopper GPU, in Gluon: see ``ring`` for how it is built.

Compiled for 9.0 and never run: ``pair_plan`` has it among the candidates, so nothing takes it until it has been
measured. Of each of 4 texts 16 words are rows of one operand and 16 of the other, in the same place, so a warp has all
words of a text: sums over them cross no warp.
"""

from __future__ import annotations

# mypy: ignore-errors
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier

from ..device.apart import frames_apart
from ..device.keep import keep, numbers
from ..device.ring import copier, ring_barriers, ring_products
from .epilogue import pooled


@gluon.jit
def _finisher(
    us, ws, xs, ys, full, empty, text, q0, TILES, LIVE, Q, V, SHARPNESS, OUT, LARGEST,
    WHO: gl.constexpr, FRAMES: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr, BK: gl.constexpr,
    SLOTS: gl.constexpr, GROUP: gl.constexpr,
):  # fmt: skip
    """Four warps: products and scores of every second tile, beginning with number WHO."""
    ROWS: gl.constexpr = 16 * BQ
    FX: gl.constexpr = FRAMES[0]
    FY: gl.constexpr = FRAMES[1]
    L: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BV, 16])
    KEPT: gl.constexpr = gl.BlockedLayout([1, 1], [4, 8], [4, 1], [1, 0])
    STEPS: gl.constexpr = D // BK
    q = q0 + gl.arange(0, BQ, layout=gl.SliceLayout(1, KEPT))
    mbarrier.wait(text, 0)
    step = WHO * STEPS
    for tile in range(gl.program_id(1) + WHO * gl.num_programs(1), TILES, 2 * gl.num_programs(1)):
        kx, wx, ky, wy = ring_products(us, ws, xs, ys, full, empty, step, FRAMES, D, ROWS, BV, BK, SLOTS)
        # the other group takes the steps between
        step += 2 * STEPS

        some = frames_apart(kx, ROWS, BV, FX) + frames_apart(ky, ROWS, BV, FY)
        others = frames_apart(wx, ROWS, BV, FX) + frames_apart(wy, ROWS, BV, FY)
        similar = ()
        for f in gl.static_range(FX + FY):
            one = gl.convert_layout(some[f], L, assert_trivial=True)
            other = gl.convert_layout(others[f], L, assert_trivial=True)
            similar += (gl.join(one, other).permute((0, 2, 1)).reshape([BQ, 32, BV]),)
        scores = gl.convert_layout(numbers(pooled(similar, FX + FY, SHARPNESS)), KEPT)
        v = tile * BV + gl.arange(0, BV, layout=gl.SliceLayout(0, KEPT))
        keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP)


@gluon.jit(do_not_specialize=["Q", "V", "TILES"])
def token_frame_pingpong_kernel(
    U, W, X, Y, LIVE, Q, V, TILES, SHARPNESS, OUT, LARGEST,
    FRAMES: gl.constexpr, D: gl.constexpr, BQ: gl.constexpr, BV: gl.constexpr, BK: gl.constexpr, SLOTS: gl.constexpr,
    GROUP: gl.constexpr,
):  # fmt: skip
    """OUT and LARGEST as ``token_frame_kernel`` writes them; grid: query blocks, and programs that share TILES tiles.

    U and W are descriptors of float16 [Q * 16, D], the first and the other 16 words of every text, in boxes [16 BQ,
    BK]. X and Y are the gallery [F, V, D] in boxes of FRAMES[0] and of FRAMES[1] frames, [., BV, BK].
    """
    STEPS: gl.constexpr = D // BK
    us = gl.allocate_shared_memory(U.dtype, [STEPS, 16 * BQ, BK], U.layout)
    ws = gl.allocate_shared_memory(W.dtype, [STEPS, 16 * BQ, BK], W.layout)
    xs = gl.allocate_shared_memory(X.dtype, [SLOTS, FRAMES[0], BV, BK], X.layout)
    ys = gl.allocate_shared_memory(Y.dtype, [SLOTS, FRAMES[1], BV, BK], Y.layout)
    full, empty, text = ring_barriers(SLOTS)
    q0 = gl.program_id(0) * BQ
    gl.warp_specialize(
        [
            (_finisher, (us, ws, xs, ys, full, empty, text, q0, TILES, LIVE, Q, V, SHARPNESS, OUT, LARGEST,
                         gl.constexpr(0), FRAMES, D, BQ, BV, BK, SLOTS, GROUP)),
            (_finisher, (us, ws, xs, ys, full, empty, text, q0, TILES, LIVE, Q, V, SHARPNESS, OUT, LARGEST,
                         gl.constexpr(1), FRAMES, D, BQ, BV, BK, SLOTS, GROUP)),
            (copier, (U, W, X, Y, us, ws, xs, ys, full, empty, text, q0 * 16, TILES, FRAMES, D, 16 * BQ, BV, BK,
                      SLOTS)),
        ],
        [4, 1],
        [232, 40],
    )  # fmt: skip
