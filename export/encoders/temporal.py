"""Temporal encoding of a video's frame embeddings, before the cross-modal attention."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from .transformer import Transformer

Temporal = Literal["none", "positional", "transformer"]
TEMPORAL: tuple[Temporal, ...] = get_args(Temporal)

# CLIP4Clip's own LayerNorm in transformerClip, unlike the towers', has this epsilon.
EPS = 1e-12


def temporal_transformer(width: int, layers: int, heads: int | None = None) -> Transformer:
    """The blocks of CLIP4Clip's seqTransf (Luo et al., 2021), under its names, so that its weights load."""
    return Transformer(width, layers, eps=EPS, heads=heads)


def encode_time(frames: Tensor, encoding: Tensor | None, blocks: nn.Module | None) -> Tensor:
    """Give every frame embedding its moment.

    Args:
        frames: raw frame embeddings [V, F, D].
        encoding: learned encoding p [F, D]; None leaves the frames as they are.
        blocks: maps [V, F, D] to [V, F, D]; with it the result is f + blocks(f + p), without it f + p.
    """
    if encoding is None:
        return frames
    encoded = frames + encoding
    return encoded if blocks is None else frames + blocks(encoded)
