"""Random weights and frames of text-conditioned attention, for scoring where no model is needed."""

from __future__ import annotations

import torch
from torch import Tensor

from ...kernels.topk_attention.reference import TopKAttention


def drawn_head(width: int, top_k: int) -> TopKAttention:
    """A head away from its identity initialisation, which would hide a projection that was left out."""
    head = TopKAttention(width, top_k=top_k).eval()
    for name, parameter in head.named_parameters():
        spread = 0.1 if "norm" in name or "bias" in name else 0.5 / width**0.5
        parameter.data += spread * torch.randn_like(parameter)
    return head


def drawn_frames(videos: int, frames: int, width: int, *, device: torch.device | None = None) -> Tensor:
    """Frame embeddings [V, F, D] that resemble one another within a video."""
    scene = torch.randn(videos, 1, width, device=device)
    return scene + 0.4 * torch.randn(videos, frames, width, device=device)
