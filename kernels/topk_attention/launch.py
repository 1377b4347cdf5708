"""Launches of the Triton kernels. The caller has checked shapes, dtypes and devices (``api``).

Letters in shapes: Q queries, V videos, F frames, H heads, D width, S streams, R rows of the table; see ``layout``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor  # type: ignore[import-untyped]

from ..device import best
from ..device.best import capability, grid, on
from ..device.boxes import in_boxes
from ..device.keep import keep_kernel
from ..device.tile import GROUP, KEPT
from .bulk_kernel import bulk_kernel
from .kernel import score_kernel
from .layout import LANES, HeadShape
from .plans import Plan, plan
from .text import prepared


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
    how = plan_for(u, frames, top_k, heads)
    return _scored(how, prepared(how, u, w), tau, frames, table, mean)


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
    how = plan_for(u, frames, top_k, heads)

    @cache
    def text() -> tuple[Tensor, Tensor, Tensor | None]:
        with on(frames.device):
            return prepared(how, u, w)

    def scored(part: slice, alive: Tensor | None, largest: Tensor) -> Tensor:
        tables = table[part.start // LANES : -(-part.stop // LANES)]
        means = None if mean is None else mean[part]
        return _scored(how, text(), tau, frames[part], tables, means, live=alive, largest=largest)

    return best.search(scored, len(u), len(frames), n, live, frames.device)


def plan_for(u: Tensor, frames: Tensor, top_k: int, heads: int) -> Plan:
    """The plan for text vectors ``u`` [Q, D] and ``frames`` [V, S, F, D] on their device, 8.0 where there is none.

    Raises:
        ValueError: a device that the kernels don't run on.
    """
    shape = HeadShape(frames.shape[2], frames.shape[3], top_k, heads)
    storage: Any = str(frames.dtype).removeprefix("torch.")
    return plan(shape, storage, len(u), capability(frames.device))


def _scored(
    how: Plan,
    text: tuple[Tensor, Tensor, Tensor | None],
    tau: Tensor,
    frames: Tensor,
    table: Tensor,
    mean: Tensor | None,
    live: Tensor | None = None,
    largest: Tensor | None = None,
) -> Tensor:
    """Scores [Q, V] of prepared text by the plan's kernel; ``live`` and ``largest`` are those of ``keep``."""
    queries, videos = len(tau), len(frames)
    out = torch.empty(queries, videos, dtype=torch.float32, device=frames.device)
    if out.numel():
        launched(how, text, tau, frames, table, mean, out, live, largest)
    return out


def launched(
    how: Plan,
    text: tuple[Tensor, Tensor, Tensor | None],
    tau: Tensor,
    frames: Tensor,
    table: Tensor,
    mean: Tensor | None,
    out: Tensor,
    live: Tensor | None = None,
    largest: Tensor | None = None,
) -> Any:
    """Start the plan's kernel, which writes ``out`` [Q, V], and return it as the Triton compiler made it."""
    u, w, units = text
    queries, videos = out.shape
    stored = frames.view(torch.uint8) if how.stored == "u8" else frames
    given: dict[str, Any] = {"TAU": tau, "TABLE": table, "Q": queries, "V": videos, "OUT": out}
    given |= {"LIVE": None, "LARGEST": None} if how.kept_apart else {"LIVE": live, "LARGEST": largest}
    kernel: Any = score_kernel
    if how.tile.kernel == "portable":
        given |= {"U": u, "W": w, "X": stored, "MEAN": mean}
    else:
        given |= _descriptors(how, u, w, stored)
        kernel = bulk_kernel
    if how.tile.ring:
        from .pingpong import pingpong_kernel as kernel

        if units is not None and mean is not None:
            # The kernel adds the sums of what it multiplies to what the mean frames give.
            upper, lower = w.float().chunk(2, 1)
            readout = (256 * upper + lower) * units[:, 1:]
            torch.mm(readout.half(), mean.T, out_dtype=torch.float32, out=out)
        given |= {"UNITS": units, "TILES": -(-videos // how.tile.videos)}
    constants = {name: value for name, value in how.constants().items() if name in kernel.arg_names}
    with on(frames.device):
        made = kernel[grid(how.tile, queries, videos, frames.device)](**given, **constants, **how.tile.options())
        if how.kept_apart and largest is not None:
            programs = (-(-queries // KEPT) * -(-videos // GROUP),)
            keep_kernel[programs](out, live, queries, videos, largest, KEPT, GROUP)
        return made


def _descriptors(how: Plan, u: Tensor, w: Tensor, frames: Tensor) -> dict[str, Any]:
    """Text [rows, D], and the gallery as [F, V, D], in the plan's boxes."""
    text, first, other = how.boxes
    videos, _, count, width = frames.shape
    shape, strides = [count, videos, width], [width, count * width, 1]
    made: dict[str, Any] = {
        "U": (u, list(u.shape), [u.shape[1], 1], text),
        "W": (w, list(w.shape), [w.shape[1], 1], text),
        "X": (frames, shape, strides, first),
        "Y": (frames, shape, strides, other),
    }
    if how.tile.ring:
        return {name: in_boxes(how.text if name in "UW" else how.stored, *given) for name, given in made.items()}
    return {name: None if given[3] is None else TensorDescriptor(*given) for name, given in made.items()}
