"""Triton kernel of the node ``framesift::TopKAttention``: its inputs as they are, and attention beside the scores."""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from .kernel import tile


@triton.jit(do_not_specialize=["Q", "V"])
def attend_kernel(
    U, W, TAU, X, TABLE, Q, V, OUT, ATTENTION,
    F: tl.constexpr, CHUNKS: tl.constexpr, K: tl.constexpr, H: tl.constexpr, D: tl.constexpr, DOT: tl.constexpr,
    PRECISION: tl.constexpr, PARTS: tl.constexpr, BQ: tl.constexpr, BV: tl.constexpr, BK: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """OUT [Q, V] and ATTENTION [Q, V, F], float32, of U, W [Q, D], TAU [Q, 4], X [V, S, F, D] and TABLE [V, R].

    The parameters stand as TensorRT passes them: inputs, integers, outputs. The grid is ``score_kernel``'s. Attention
    is averaged over heads.
    """
    query_blocks = tl.cdiv(Q, BQ)
    query_block = tl.program_id(0) % query_blocks
    video_block = tl.program_id(0) // query_blocks
    scores, a, total = tile(
        U, W, TAU, X, TABLE, None, Q, V, query_block, video_block,
        F, CHUNKS, K, H, D, False, DOT, PRECISION, PARTS, BQ, BV, BK, STAGES, 1,
    )  # fmt: skip
    q = query_block * BQ + tl.arange(0, BQ)
    v = video_block * BV + tl.arange(0, BV)
    inside = (q < Q)[:, None] & (v < V)[None, :]
    at = q[:, None].to(tl.int64) * V + v[None, :]
    tl.store(OUT + at, scores, mask=inside)
    for f in tl.static_range(F):
        weight = a[f]
        for h in tl.static_range(1, H):
            weight += a[h * F + f]
        # one head's weights come before they are normalised
        weight *= 1.0 / (H if H > 1 else total)
        tl.store(ATTENTION + (at * F + f), weight, mask=inside)
