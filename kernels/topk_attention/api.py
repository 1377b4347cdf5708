"""Scoring torch tensors: arguments are checked once, then the device decides which implementation runs.

Both functions are custom operators, so that ``torch.compile`` and ``torch.export`` see one node each. On CUDA they
launch the fused Triton kernel, on the CPU the compiled scorer or numpy (``cpu``). Letters in shapes: ``layout``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import cpu
from .checks import CPU_DTYPES, CUDA_DTYPES, Held, check_fit, check_gallery, check_text
from .layout import HeadShape
from .operands import GalleryVectors, TextVectors


def score(
    logit: Tensor,
    readout: Tensor,
    scalars: Tensor,
    frames: Tensor,
    tables: Tensor,
    mean: Tensor | None = None,
    *,
    top_k: int,
    heads: int = 1,
    check_gallery: bool = True,
) -> Tensor:
    """Scores float32 [Q, V] in [-1, 1] of the factorised head (Dong et al., 2026; see ``factorised``).

    Args:
        logit: logit vectors float32 [Q, D].
        readout: readout vectors float32 [Q, D].
        scalars: float32 [Q, 4].
        frames: frame vectors [V, S, F, D] in float32, float16 or int8; on CUDA also bfloat16 and float8_e4m3fn.
        tables: Gram tables float32 [>= ceil(V / 16), R, 16], as ``layout.pack_tables`` makes them; in int8 and float8
            with the step sizes behind the R rows (``quantise``).
        mean: float16 [V, D], with int8 and float8 alone.
        check_gallery: whether to look for NaN and infinity in the gallery, which reads it once more than scoring does.

    Raises:
        ValueError: shapes, dtypes or devices that don't go together, K outside 1..F, an empty gallery, views that are
            not contiguous, NaN or infinity. Nothing has been launched then.
    """
    _check(logit, readout, scalars, frames, tables, mean, top_k, heads, check_gallery)
    return topk_attention_scores(logit, readout, scalars, frames, tables, mean, top_k, heads)


def search(
    logit: Tensor,
    readout: Tensor,
    scalars: Tensor,
    frames: Tensor,
    tables: Tensor,
    mean: Tensor | None = None,
    *,
    n: int,
    top_k: int,
    heads: int = 1,
    live: Tensor | None = None,
    check_gallery: bool = True,
) -> tuple[Tensor, Tensor]:
    """The ``n`` best videos of each query, best first, the lower row first among equals.

    Args and errors are those of ``score``. ``live`` bool [V] keeps videos out where it is false; ``n`` must lie
    between 1 and the number of the others.

    Returns:
        Scores float32 and rows int64, [Q, n].
    """
    _check(logit, readout, scalars, frames, tables, mean, top_k, heads, check_gallery)
    if live is not None and (
        live.shape != frames.shape[:1] or live.dtype != torch.bool or live.device != frames.device
    ):
        raise ValueError(
            f"live is {live.dtype} {list(live.shape)} on {live.device}, must be bool [{len(frames)}] on {frames.device}"
        )
    most = len(frames) if live is None else int(live.sum())
    if not 1 <= n <= most:
        raise ValueError(f"n is {n}, it must lie between 1 and the number of videos, {most}")
    return topk_attention_search(logit, readout, scalars, frames, tables, mean, live, n, top_k, heads)


@torch.library.custom_op("framesift::topk_attention_scores", mutates_args=())
def topk_attention_scores(
    logit: Tensor,
    readout: Tensor,
    scalars: Tensor,
    frames: Tensor,
    tables: Tensor,
    mean: Tensor | None,
    top_k: int,
    heads: int,
) -> Tensor:
    """The operator behind ``score``: arguments are taken as checked."""
    if frames.is_cuda:
        from . import launch

        return launch.score(logit, readout, scalars, frames, tables, mean, top_k=top_k, heads=heads)
    text, gallery = _arrays(logit, readout, scalars, frames, tables, mean)
    return torch.from_numpy(cpu.score(text, gallery, _shape(frames, top_k, heads)))


@torch.library.custom_op("framesift::topk_attention_search", mutates_args=())
def topk_attention_search(
    logit: Tensor,
    readout: Tensor,
    scalars: Tensor,
    frames: Tensor,
    tables: Tensor,
    mean: Tensor | None,
    live: Tensor | None,
    n: int,
    top_k: int,
    heads: int,
) -> tuple[Tensor, Tensor]:
    """The operator behind ``search``: arguments are taken as checked."""
    if frames.is_cuda:
        from . import launch

        scores, rows = launch.search(
            logit,
            readout,
            scalars,
            frames,
            tables,
            mean,
            top_k=top_k,
            heads=heads,
            live=None if live is None else live.to(torch.uint8),
            n=n,
        )
        return scores, rows.long()
    text, gallery = _arrays(logit, readout, scalars, frames, tables, mean)
    alive = None if live is None else np.ascontiguousarray(live.numpy())
    found = cpu.search(text, gallery, _shape(frames, top_k, heads), n, live=alive)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


@topk_attention_scores.register_fake
def _(logit: Tensor, readout: Tensor, scalars: Tensor, frames: Tensor, *rest: object) -> Tensor:
    return logit.new_empty((logit.shape[0], frames.shape[0]))


@topk_attention_search.register_fake
def _(
    logit: Tensor,
    readout: Tensor,
    scalars: Tensor,
    frames: Tensor,
    tables: Tensor,
    mean: Tensor | None,
    live: Tensor | None,
    n: int,
    *rest: object,
) -> tuple[Tensor, Tensor]:
    size = (logit.shape[0], n)
    return logit.new_empty(size), logit.new_empty(size, dtype=torch.int64)


def _shape(frames: Tensor, top_k: int, heads: int) -> HeadShape:
    return HeadShape(frames.shape[2], frames.shape[3], top_k, heads)


def _arrays(
    logit: Tensor, readout: Tensor, scalars: Tensor, frames: Tensor, tables: Tensor, mean: Tensor | None
) -> tuple[TextVectors, GalleryVectors]:
    text = TextVectors(*(t.detach().numpy() for t in (logit, readout, scalars)))
    return text, GalleryVectors(
        frames.detach().numpy(), tables.detach().numpy(), None if mean is None else mean.detach().numpy()
    )


def _check(
    logit: Tensor,
    readout: Tensor,
    scalars: Tensor,
    frames: Tensor,
    tables: Tensor,
    mean: Tensor | None,
    top_k: int,
    heads: int,
    values: bool,
) -> None:
    check_text(_held(logit), _held(readout), _held(scalars))
    dtypes = CUDA_DTYPES if frames.is_cuda else CPU_DTYPES
    check_gallery(_held(frames), _held(tables), None if mean is None else _held(mean), dtypes)
    check_fit(_held(logit), _held(frames), _held(tables), _shape(frames, top_k, heads))
    given = {"logit": logit, "readout": readout, "scalars": scalars, "frames": frames, "tables": tables, "mean": mean}
    for name, tensor in given.items():
        if tensor is None:
            continue
        if tensor.device != frames.device:
            raise ValueError(f"{name} lies on {tensor.device}, frames on {frames.device}: move them together")
        looked_at = name in {"logit", "readout", "scalars"} or values
        if looked_at and tensor.dtype.is_floating_point and not _finite(tensor):
            raise ValueError(f"{name} holds NaN or infinity")


def _held(tensor: Tensor) -> Held:
    return Held(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.is_contiguous())


def _finite(tensor: Tensor) -> bool:
    if tensor.is_cuda:
        return bool((tensor.half() if tensor.dtype == torch.float8_e4m3fn else tensor).isfinite().all())
    return bool(np.isfinite(tensor.detach().numpy()).all())
