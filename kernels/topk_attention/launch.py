"""Launches of the Triton kernels. The caller has checked shapes, dtypes and devices (``api``).

Letters in shapes: Q queries, V videos, F frames, H heads, D width, S streams, R rows of the table; see ``layout``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor  # type: ignore[import-untyped]

from .bulk_kernel import bulk_kernel
from .device_memory import SCORES_AT_ONCE
from .keep import LOWEST
from .kernel import score_kernel
from .layout import LANES, HeadShape
from .plans import GROUP, Plan, box_layout, plan
from .select_kernel import select_kernel
from .text import prepared

# The longest list that the select kernel keeps, and the shortest: one compilation serves every short one.
LONGEST, SHORTEST = 128, 16
# Groups that it looks at in a step, at most.
BLOCK = 1024


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
    videos, queries = len(frames), len(u)
    if not queries or not videos:
        return _nothing(queries, n, frames)
    how = plan_for(u, frames, top_k, heads)
    with _on(frames):
        text = prepared(how, u, w)
    step = max(GROUP, SCORES_AT_ONCE // queries // GROUP * GROUP)
    found = []
    for start in range(0, videos, step):
        part = slice(start, start + step)
        tables = table[start // LANES : -(-(start + step) // LANES)]
        some = frames[part]
        # Every query's largest score of a group.
        largest = torch.full((queries, -(-len(some) // GROUP)), LOWEST.value, dtype=torch.int32, device=frames.device)
        alive = None if live is None else live[part]
        scores = _scored(
            how, text, tau, some, tables, None if mean is None else mean[part], live=alive, largest=largest
        )
        found.append(_selected(scores, largest, start, n))
    if len(found) == 1:
        return found[0]
    return best_of(torch.cat([scores for scores, _ in found], 1), torch.cat([rows for _, rows in found], 1), n)


def _selected(scores: Tensor, largest: Tensor, start: int, n: int) -> tuple[Tensor, Tensor]:
    """The ``n`` best of ``scores`` [Q, V] of the rows from ``start`` on, filled up with nothing."""
    queries, videos = scores.shape
    if n > LONGEST:
        rows = torch.arange(start, start + videos, dtype=torch.int32, device=scores.device).expand_as(scores)
        rows = rows.masked_fill(scores == -torch.inf, -1)
        nothing = _nothing(queries, max(0, n - videos), scores)
        return best_of(torch.cat((scores, nothing[0]), 1), torch.cat((rows, nothing[1]), 1), n)
    best = torch.empty(queries, n, dtype=torch.float32, device=scores.device)
    rows = torch.empty(queries, n, dtype=torch.int32, device=scores.device)
    kept = max(SHORTEST, 1 << (n - 1).bit_length())
    with _on(scores):
        block = min(BLOCK, max(LONGEST, 1 << (largest.shape[1] - 1).bit_length()))
        select_kernel[(queries,)](scores, largest, videos, start, best, rows, kept, n, GROUP, block)
    return best, rows


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


def plan_for(u: Tensor, frames: Tensor, top_k: int, heads: int) -> Plan:
    """The plan for text vectors ``u`` [Q, D] and ``frames`` [V, S, F, D] on their device, 8.0 where there is none.

    Raises:
        ValueError: a device that the kernels don't run on.
    """
    shape = HeadShape(frames.shape[2], frames.shape[3], top_k, heads)
    storage: Any = str(frames.dtype).removeprefix("torch.")
    arch = 80
    if frames.is_cuda:
        major, minor = torch.cuda.get_device_capability(frames.device)
        arch = 10 * major + minor
    return plan(shape, storage, len(u), arch)


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
    """Start the plan's kernel, which writes ``out`` [Q, V], and return the compiled kernel as Triton has it."""
    u, w, units = text
    queries, videos = out.shape
    stored = frames.view(torch.uint8) if how.stored == "u8" else frames
    given: dict[str, Any] = {"TAU": tau, "TABLE": table, "LIVE": live, "Q": queries, "V": videos, "OUT": out}
    given["LARGEST"] = largest
    kernel: Any = score_kernel
    processors = 1
    if how.tile.kernel == "portable":
        given |= {"U": u, "W": w, "X": stored, "MEAN": mean}
    else:
        given |= _descriptors(how, u, w, stored)
        kernel = bulk_kernel
    if how.tile.kernel == "pingpong":
        from .pingpong import pingpong_kernel as kernel

        if units is not None and mean is not None:
            # The kernel adds the sums of what it multiplies to what the mean frames give.
            upper, lower = w.float().chunk(2, 1)
            readout = (256 * upper + lower) * units[:, 1:]
            torch.mm(readout.half(), mean.T, out_dtype=torch.float32, out=out)
        given |= {"UNITS": units, "TILES": -(-videos // how.tile.videos)}
        processors = torch.cuda.get_device_properties(frames.device).multi_processor_count
    constants = {name: value for name, value in how.constants().items() if name in kernel.arg_names}
    with _on(frames):
        return kernel[how.grid(queries, videos, processors)](**given, **constants, **how.options())


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
    if how.tile.kernel == "pingpong":
        from triton.experimental.gluon.nvidia.hopper import TensorDescriptor as Laid  # type: ignore[import-untyped]

        return {
            name: Laid(*given, box_layout(how.text if name in "UW" else how.stored, len(given[1])))
            for name, given in made.items()
        }
    return {name: None if given[3] is None else TensorDescriptor(*given) for name, given in made.items()}


@contextmanager
def _on(frames: Tensor) -> Iterator[None]:
    """Triton kernels start on the current device, wherever their tensors lie."""
    if frames.is_cuda:
        with torch.cuda.device(frames.device):
            yield
    else:
        yield
