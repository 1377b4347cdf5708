"""Dong et al. (2026): CLIP towers, temporal encoding, text-conditioned attention over the top-K frames.

With ``top_k`` equal to ``frames`` and no temporal encoding this is X-Pool, and its state_dict loads as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.topk_attention.reference import TopKAttention
from ..encoders.clip import VIT_B_32, Clip, ClipConfig
from ..encoders.temporal import TEMPORAL, Temporal, encode_time, temporal_transformer
from .inspection import Findings

SYSTEM = "dong2026"
SCORER = "topk_attention"


@dataclass(frozen=True)
class Config:
    """The reference model's options; the defaults are the paper's ViT-B/32 setting."""

    frames: int = 12
    top_k: int = 4
    heads: int = 1
    temporal: Temporal = "positional"
    temporal_layers: int = 4
    clip: ClipConfig = field(default_factory=lambda: VIT_B_32)

    def __post_init__(self) -> None:
        if not 1 <= self.top_k <= self.frames:
            raise ValueError(f"top_k is {self.top_k}, it must lie between 1 and the number of frames, {self.frames}")
        if self.temporal not in TEMPORAL:
            raise ValueError(f"temporal is {self.temporal!r}, it must be one of {', '.join(TEMPORAL)}")
        if self.heads < 1 or self.clip.embed_dim % self.heads:
            raise ValueError(f"{self.heads} heads don't divide the embedding width {self.clip.embed_dim}")

    def options(self) -> dict[str, Any]:
        """What can't be read off the weights' shapes, and what can but a reader wants to see."""
        values = asdict(self)
        return {key: values[key] for key in ("frames", "top_k", "heads", "temporal", "temporal_layers")}


class Dong2026(nn.Module):
    """The reference model. ``clip`` and ``pool_frames`` carry X-Pool's names."""

    temporal_encoding: Tensor | None

    def __init__(self, config: Config, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        width = config.clip.embed_dim
        self.clip = Clip(config.clip)
        encoding = None if config.temporal == "none" else nn.Parameter(0.02 * torch.randn(config.frames, width))
        self.register_parameter("temporal_encoding", encoding)
        self.transformerClip = (
            temporal_transformer(width, config.temporal_layers) if config.temporal == "transformer" else None
        )
        self.pool_frames = TopKAttention(width, heads=config.heads, top_k=config.top_k, dropout=dropout)

    def encode_video(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 RGB [V, F, 3, H, W] to the video record.

        Returns:
            Frame embeddings [V, F, D] with the temporal encoding applied, and the unit-length mean [V, D] of the
            raw ones, each first normalised (CLIP4Clip's meanP).
        """
        return self.finish_video(self.clip.encode_frames(frames))

    def finish_video(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Raw frame embeddings [V, F, D] to the video record."""
        mean = (raw / raw.norm(dim=-1, keepdim=True)).mean(-2)
        return self.encode_time(raw), mean / mean.norm(dim=-1, keepdim=True)

    def encode_time(self, raw: Tensor) -> Tensor:
        """Raw frame embeddings [V, F, D] to those that the scorer reads [V, F, D]."""
        return encode_time(raw, self.temporal_encoding, self.transformerClip)

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [Q, W] to raw text embeddings [Q, D]."""
        embedding: Tensor = self.clip(token_ids)
        return embedding

    def score(self, text: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Text [Q, D] and records [V, F, D] to scores [Q, V] and attention weights [Q, V, F]."""
        scores, attention = self.pool_frames(text, frames)
        return scores, attention


def examine(findings: Findings) -> None:
    """What the weights show and what they don't."""
    findings.towers()
    if "temporal_encoding" in findings.state:
        rows = findings.shape("temporal_encoding", 2)[0]
        findings.read("frames", rows, "rows of temporal_encoding")
    else:
        findings.assume("frames", 12, "frames are not in the weights")
    layers = findings.count("transformerClip.resblocks.")
    if layers:
        findings.read("temporal", "transformer", "there is transformerClip")
        findings.read("temporal_layers", layers, "blocks under transformerClip.resblocks")
    elif "frames" in findings.found:
        findings.read("temporal", "positional", "there is temporal_encoding and no transformerClip")
    else:
        findings.read("temporal", "none", "there is no temporal_encoding")
    frames = {**findings.assumed, **findings.found}["frames"]
    findings.assume("top_k", min(4, frames), "how many frames the attention keeps is not in the weights")
    findings.assume("heads", 1, "the attention's heads are not in the weights")


def build(options: Mapping[str, Any]) -> Dong2026:
    """The model of settled options, with random weights."""
    return Dong2026(Config(**options))


def unused(findings: Findings) -> tuple[str, ...]:
    """No tensor is left out."""
    return ()
