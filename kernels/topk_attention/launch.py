"""Grid, strides and configuration of the Triton kernels. The caller has checked shapes, dtypes and devices (``api``).

Letters in shapes: Q queries, V videos, F frames, H heads, D width, S streams, R rows of the table; see ``layout``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from .configs import Storage, Tile, tile
from .kernel import score_kernel, search_kernel
from .layout import LANES, HeadShape

# Keys of 64 bits that a thread of the search kernel can hold without spilling.
_KEYS = 16
# Places of the shortest list that is kept.
_SHORTEST = 16
# Scores that exist at once where more are wanted; programs that keep a device busy to the end.
_SORTED_SCORES = 1 << 26
_PROGRAMS = 8192

_DOT: dict[Storage, tuple[str, Any]] = {
    "float16": ("fp16", tl.float16),
    "bfloat16": ("bf16", tl.bfloat16),
    "float32": ("fp32", tl.float32),
    "int8": ("fp16", tl.float16),
    "float8_e4m3fn": ("fp16", tl.float16),
}
_STORED: dict[Storage, str] = {
    "float16": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "int8": "i8",
    "float8_e4m3fn": "fp8e4nv",
}
_TEXT = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Plan:
    """Everything about a launch that doesn't depend on the numbers of queries and videos."""

    shape: HeadShape
    storage: Storage
    arch: int
    tile: Tile

    @property
    def text(self) -> str:
        """Element type of the text vectors U and W that the kernel reads."""
        return "fp32" if self.tile.parts == 2 else _DOT[self.storage][0]

    @property
    def quantised(self) -> bool:
        """Whether frames are residuals with scales and a mean."""
        return self.storage in ("int8", "float8_e4m3fn")

    @property
    def stored(self) -> str:
        """Element type of the frames that the kernel reads: e4m3 as bytes where the device can't convert it."""
        return "u8" if self.storage == "float8_e4m3fn" and self.arch < 89 else _STORED[self.storage]

    def parameters(self, best: bool = False, live: bool = False) -> list[tuple[str, str]]:
        """Name and type of the kernel's parameters in the order of its PTX; pointers start with ``*``.

        Without quantised storage there is no MEAN. Compiled code has two pointers more, of scratch memory that these
        kernels don't use: null.
        """
        inputs = [("U", f"*{self.text}"), ("W", f"*{self.text}"), ("TAU", "*fp32"), ("X", f"*{self.stored}")]
        inputs += [("TABLE", "*fp32")] + [("MEAN", "*fp16")] * self.quantised
        if best:
            sizes = [("Q", "i32"), ("V", "i32"), ("BLOCKS", "i32"), ("TILES", "i32")]
            return inputs + [("LIVE", "*u8")] * live + sizes + [("SCORES", "*fp32"), ("ROWS", "*i32")]
        return [*inputs, ("Q", "i32"), ("V", "i32"), ("OUT", "*fp32")]

    def constants(self) -> dict[str, Any]:
        """Values of the kernel's compile-time parameters."""
        return {
            "F": self.shape.frames,
            "CHUNKS": chunks(self.shape.frames),
            "K": self.shape.top_k,
            "H": self.shape.heads,
            "D": self.shape.width,
            "QUANTISED": self.quantised,
            "DOT": _DOT[self.storage][1],
            "PRECISION": "tf32x3" if self.storage == "float32" else "ieee",
            "PARTS": self.tile.parts,
            "BQ": self.tile.queries,
            "BV": self.tile.videos,
            "BK": depth(self.tile.depth, self.shape.width // self.shape.heads),
            "STAGES": self.tile.stages,
        }

    def options(self) -> dict[str, Any]:
        """Compiler options. The epilogue counts on fused multiply-adds, which Triton doesn't promise by default."""
        return {"num_warps": self.tile.warps, "num_stages": self.tile.stages, "enable_fp_fusion": True}

    def programs(self, queries: int, videos: int) -> int:
        """Length of the score kernel's grid, which has one axis."""
        return -(-queries // self.tile.queries) * -(-videos // self.tile.videos)

    @property
    def most(self) -> int:
        """How many best videos the search kernel can keep; for more, the scores of parts of the gallery are sorted."""
        return min(128, _KEYS * self.tile.threads // self.tile.queries)

    def blocks(self, queries: int, videos: int) -> tuple[int, int]:
        """How many blocks the search kernel cuts the gallery into, and how many tiles of videos a block holds."""
        tiles = -(-videos // self.tile.videos)
        wanted = max(1, _PROGRAMS // -(-queries // self.tile.queries))
        each = -(-tiles // wanted)
        return -(-tiles // each), each


def chunks(frames: int) -> tuple[int, ...]:
    """Powers of two that add up to ``frames``, largest first, none above 16."""
    whole, rest = divmod(frames, 16)
    return (16,) * whole + tuple(1 << bit for bit in (3, 2, 1, 0) if rest >> bit & 1)


def depth(wanted: int, columns: int) -> int:
    """Columns per step: a power of two that divides a head's columns, but not below the 16 that a product needs."""
    return max(16, min(wanted, columns & -columns))


def plan(shape: HeadShape, storage: Storage, queries: int, arch: int) -> Plan:
    """The plan for ``queries`` queries on a device of compute capability ``arch``, such as 90.

    Raises:
        ValueError: a device that the kernels don't run on.
    """
    return Plan(shape, storage, arch, tile(arch, queries, storage))


def score(
    u: Tensor, w: Tensor, tau: Tensor, frames: Tensor, table: Tensor, mean: Tensor | None, *, top_k: int, heads: int
) -> Tensor:
    """All scores, float32 [Q, V].

    Args:
        u: logit vectors [Q, D], any floating dtype; up to 8 queries they count in float32, more are rounded to the
            16 bits of the products.
        w: readout vectors [Q, D].
        tau: float32 [Q, 4].
        frames: [V, S, F, D] float16, bfloat16 or float32, or residuals in int8 or float8_e4m3fn.
        table: float32 [ceil(V / 16), R, 16]; quantised storage has S N step sizes behind the R rows.
        mean: float16 [V, D], the videos' mean frames, with quantised storage; else None.
        top_k: frames kept per head.
        heads: H.
    """
    videos, queries = len(frames), len(u)
    out = torch.empty(queries, videos, dtype=torch.float32, device=frames.device)
    if out.numel():
        how = _plan_for(u, frames, top_k, heads)
        with _on(frames):
            score_kernel[(how.programs(queries, videos),)](
                *_inputs(how, u, w, tau, frames, table, mean), queries, videos, out, **how.constants(), **how.options()
            )
    return out


def search(
    u: Tensor,
    w: Tensor,
    tau: Tensor,
    frames: Tensor,
    table: Tensor,
    mean: Tensor | None,
    *,
    top_k: int,
    heads: int,
    live: Tensor | None,
    n: int,
) -> tuple[Tensor, Tensor]:
    """Each query's ``n`` best videos, best first, of equal scores the lower row first.

    Other arguments are those of ``score``.

    Args:
        live: uint8 [V], 0 where a row is to be left out; None: all are live.
        n: at least 1.

    Returns:
        Scores float32 [Q, n] and rows int32 [Q, n]; where fewer than n videos are live, -inf and row -1.
    """
    videos, queries = len(frames), len(u)
    if not queries or not videos:
        return _nothing(queries, n, frames)
    how = _plan_for(u, frames, top_k, heads)
    # One compilation for every short list; the compiler spills for eight and not for sixteen.
    kept = max(1 << (n - 1).bit_length(), min(_SHORTEST, how.most))
    if kept > how.most:
        scores, rows = _nothing(queries, n, frames)
        step = max(LANES, _SORTED_SCORES // queries // LANES * LANES)
        for start in range(0, videos, step):
            part = slice(start, start + step)
            tables = table[start // LANES : -(-(start + step) // LANES)]
            some = score(
                u, w, tau, frames[part], tables, None if mean is None else mean[part], top_k=top_k, heads=heads
            )
            here = torch.arange(start, start + some.shape[1], dtype=torch.int32, device=frames.device).expand_as(some)
            if live is not None:
                dead = live[part] == 0
                some, here = some.masked_fill(dead, -torch.inf), here.masked_fill(dead, -1)
            scores, rows = best_of(torch.cat((scores, some), 1), torch.cat((rows, here), 1), n)
        return scores, rows

    blocks, tiles = how.blocks(queries, videos)
    best = torch.empty(queries, blocks, kept, dtype=torch.float32, device=frames.device)
    where = torch.empty(queries, blocks, kept, dtype=torch.int32, device=frames.device)
    with _on(frames):
        search_kernel[(-(-queries // how.tile.queries) * blocks,)](
            *_inputs(how, u, w, tau, frames, table, mean), live, queries, videos, blocks, tiles, best, where,
            N=kept, **how.constants(), **how.options(),
        )  # fmt: skip
    return best_of(best.flatten(1), where.flatten(1), n)


def best_of(scores: Tensor, rows: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The ``n`` best of float32 ``scores`` [Q, M] of videos ``rows`` int32 [Q, M], of equal scores the lower row first.

    One top-k of int64 keys, which rise with the score and, among equals, fall with the row: torch's own top-k promises
    no order of ties.
    """
    bits = (scores + 0.0).view(torch.int32)
    keys = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long() << 32 | (0x7FFFFFFF - rows.long())
    at = keys.topk(n, dim=1).indices
    return scores.gather(1, at), rows.gather(1, at)


def _nothing(queries: int, n: int, frames: Tensor) -> tuple[Tensor, Tensor]:
    scores = torch.full((queries, n), -torch.inf, dtype=torch.float32, device=frames.device)
    return scores, torch.full((queries, n), -1, dtype=torch.int32, device=frames.device)


def _plan_for(u: Tensor, frames: Tensor, top_k: int, heads: int) -> Plan:
    shape = HeadShape(frames.shape[2], frames.shape[3], top_k, heads)
    storage: Any = str(frames.dtype).removeprefix("torch.")
    arch = 80
    if frames.is_cuda:
        major, minor = torch.cuda.get_device_capability(frames.device)
        arch = 10 * major + minor
    return plan(shape, storage, len(u), arch)


def _inputs(
    how: Plan, u: Tensor, w: Tensor, tau: Tensor, frames: Tensor, table: Tensor, mean: Tensor | None
) -> tuple[Tensor | None, ...]:
    text = _TEXT[how.text]
    stored = frames.view(torch.uint8) if how.stored == "u8" else frames
    return u.to(text).contiguous(), w.to(text).contiguous(), tau, stored, table, mean


@contextmanager
def _on(frames: Tensor) -> Iterator[None]:
    """Triton kernels start on the current device, wherever their tensors lie."""
    if frames.is_cuda:
        with torch.cuda.device(frames.device):
            yield
    else:
        yield
