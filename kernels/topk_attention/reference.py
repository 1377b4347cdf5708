"""Top-K cross-modal attention in eager PyTorch: the definition that every other implementation is compared with.

Dong et al. (2026); with ``top_k`` equal to the number of frames it is X-Pool's head, whose state_dict keys it shares.

Letters in shapes: Q queries, V videos, F frames, H heads, D embedding width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def topk_softmax(logits: Tensor, k: int) -> Tensor:
    """Softmax over the ``k`` largest logits of the last axis, zero elsewhere; equal logits: the earlier index is kept.

    Args:
        logits: [..., F], any floating dtype.
        k: how many to keep, at least 1. ``k >= F`` keeps all.

    Returns:
        Weights [..., F] of the same dtype; each row sums to 1.
    """
    frames = logits.shape[-1]
    if k >= frames:
        return logits.softmax(-1)
    mine, other = logits.unsqueeze(-1), logits.unsqueeze(-2)
    earlier = torch.ones(frames, frames, dtype=torch.bool, device=logits.device).tril(-1)
    rank = ((other > mine) | ((other == mine) & earlier)).sum(-1)
    return logits.masked_fill(rank >= k, -math.inf).softmax(-1)


class CrossAttention(nn.Module):
    """The query attends to the frames of every video, keeping the ``top_k`` largest logits of each head."""

    def __init__(self, width: int, heads: int, top_k: int) -> None:
        super().__init__()
        self.heads, self.top_k = heads, top_k
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, text_QD: Tensor, frames_VFD: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each video's frames for each query.

        Returns:
            The pooled vectors [Q, V, D] and the weights [Q, V, H, F].
        """
        q = self.q_proj(text_QD).unflatten(-1, (self.heads, -1))
        k = self.k_proj(frames_VFD).unflatten(-1, (self.heads, -1))
        v = self.v_proj(frames_VFD).unflatten(-1, (self.heads, -1))
        logits = torch.einsum("qhd,vfhd->qvhf", q, k) / math.sqrt(q.shape[-1])
        weights = topk_softmax(logits, self.top_k)
        pooled = torch.einsum("qvhf,vfhd->qvhd", weights, v).flatten(-2)
        return self.out_proj(pooled), weights


class TopKAttention(nn.Module):
    """Score = cosine of the text and the video pooled for that text (Dong et al., 2026).

    ``forward`` takes raw (not normalised) embeddings.
    """

    def __init__(self, width: int, *, heads: int = 1, top_k: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.cross_attn = CrossAttention(width, heads, top_k)
        self.linear_proj = nn.Linear(width, width)
        self.layer_norm1 = nn.LayerNorm(width)
        self.layer_norm2 = nn.LayerNorm(width)
        self.layer_norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Identity projections and zero biases: at the start the head is a softmax-weighted mean (X-Pool's choice)."""
        for layer in (*self.cross_attn.children(), self.linear_proj):
            assert isinstance(layer, nn.Linear)
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, text_QD: Tensor, frames_VFD: Tensor) -> tuple[Tensor, Tensor]:
        """Score every query against every video.

        Args:
            text_QD: text embeddings.
            frames_VFD: frame embeddings, temporal encoding applied.

        Returns:
            Scores [Q, V] in [-1, 1] and attention weights [Q, V, F], averaged over heads; each row sums to 1.
        """
        pooled, weights = self.cross_attn(self.layer_norm1(text_QD), self.layer_norm1(frames_VFD))
        y = self.layer_norm2(pooled)
        z = self.layer_norm3(y + self.dropout(self.linear_proj(y)))
        unit_z = z / z.norm(dim=-1, keepdim=True)
        unit_t = text_QD / text_QD.norm(dim=-1, keepdim=True)
        return torch.einsum("qd,qvd->qv", unit_t, unit_z), weights.mean(-2)
