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
from ..bundle.errors import CheckpointError
from ..encoders.clip import VIT_B_32, Clip, ClipConfig
from ..encoders.temporal import TEMPORAL, Temporal, encode_time, temporal_transformer

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
        raw = self.clip.encode_frames(frames)
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


def config_from_state(state: Mapping[str, Tensor], options: Mapping[str, Any]) -> Config:
    """Read every size off the weights; take from ``options`` what shapes can't tell.

    Args:
        state: state_dict with OpenAI's tower names.
        options: any of frames, top_k, heads, temporal; what the weights show must not contradict it.

    Raises:
        CheckpointError: tensors that show the sizes are missing, or an option contradicts the weights.
    """
    try:
        clip = ClipConfig.from_state(state)
    except KeyError as error:
        raise CheckpointError(
            f"the checkpoint has no {error.args[0]}: it is not a {SYSTEM} or CLIP checkpoint"
        ) from error
    found: dict[str, Any] = {}
    encoding = state.get("temporal_encoding")
    if encoding is not None:
        found["frames"] = encoding.shape[0]
    stem = "transformerClip.resblocks."
    layers = len({key[len(stem) :].split(".")[0] for key in state if key.startswith(stem)})
    if layers:
        found["temporal_layers"] = layers
    found["temporal"] = "transformer" if layers else "none" if encoding is None else "positional"
    for key, value in found.items():
        if options.get(key, value) != value:
            raise CheckpointError(f"{key} is {options[key]} by the options but {value} by the checkpoint's weights")
    try:
        return Config(**{**options, **found}, clip=clip)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
