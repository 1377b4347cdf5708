"""Launches the node's kernel as TensorRT would, for the interpreter."""

from __future__ import annotations

import torch
from torch import Tensor

from framesift.kernels.device.tile import Regime
from framesift.kernels.topk_attention.attend import attend_kernel
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.portable_kernel import constants, portable_plan


def attend(
    logit: Tensor, readout: Tensor, scalars: Tensor, frames: Tensor, table: Tensor, shape: list[int], regime: Regime
) -> tuple[Tensor, Tensor]:
    """Scores [Q, V] and attention [Q, V, F] of the node's inputs; ``shape`` holds the fields of a ``HeadShape``."""
    sizes = HeadShape(*shape)
    storage = "float16" if frames.dtype == torch.float16 else "float32"
    how = portable_plan(sizes, storage, regime)
    queries, videos = len(logit), len(frames)
    scores = torch.empty(queries, videos, dtype=torch.float32, device=frames.device)
    attention = torch.empty(queries, videos, sizes.frames, dtype=torch.float32, device=frames.device)
    launch = constants(how) | how.tile.options()
    attend_kernel[how.tile.grid(queries, videos)](
        logit, readout, scalars, frames, table, queries, videos, scores, attention, **launch
    )
    return scores, attention
