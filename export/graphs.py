"""The three functions of a system as modules of their own, ready to be exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER, GraphPorts, topk_attention_ports
from .systems.dong2026 import Dong2026


class VideoEncoder(nn.Module):
    """Frames uint8 [B, F, 3, S, S] to the video record."""

    def __init__(self, model: Dong2026) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Dong2026.encode_video``."""
        return self.model.encode_video(frames)


class TextEncoder(nn.Module):
    """Token ids int64 [B, W] to the text record, at any length W."""

    def __init__(self, model: Dong2026) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: Tensor) -> Tensor:
        """See ``Dong2026.encode_text``."""
        return self.model.encode_text(token_ids)


class Scorer(nn.Module):
    """Text records [Q, ...] and video records [V, ...] to scores [Q, V] and attention [Q, V, F]."""

    def __init__(self, model: Dong2026) -> None:
        super().__init__()
        self.head = model.pool_frames

    def forward(self, text_embedding: Tensor, frame_embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Dong2026.score``."""
        scores, attention = self.head(text_embedding, frame_embeddings)
        return scores, attention


def graphs(model: Dong2026) -> dict[str, nn.Module]:
    """The modules of every graph, by name, in evaluation mode."""
    model.eval()
    return {VIDEO_ENCODER: VideoEncoder(model), TEXT_ENCODER: TextEncoder(model), SCORER: Scorer(model)}


def ports(model: Dong2026) -> Mapping[str, GraphPorts]:
    """Inputs and outputs of every graph, by name."""
    clip = model.config.clip
    return topk_attention_ports(model.config.frames, clip.image_size, clip.embed_dim)


def random_token_ids(model: Dong2026, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Random texts: token ids int64 [rows, length], each with its end token somewhere and zeros behind it.

    The end token is the largest id of the vocabulary, as the text tower expects.
    """
    end = model.config.clip.vocab_size - 1
    ids = torch.randint(1, end - 1, (rows, length), generator=generator)
    at = torch.randint(1, length, (rows, 1), generator=generator)
    places = torch.arange(length)
    return torch.where(places < at, ids, torch.where(places == at, end, 0))


def random_frames(model: Dong2026, rows: int, generator: torch.Generator) -> Tensor:
    """Random clips uint8 [rows, F, 3, S, S] whose frames resemble one another, as a video's do."""
    size = (rows, model.config.frames, 3, model.config.clip.image_size, model.config.clip.image_size)
    scene = torch.randint(0, 256, (rows, 1, *size[2:]), generator=generator)
    change = torch.randint(-40, 41, size, generator=generator)
    return (scene + change).clamp(0, 255).to(torch.uint8)
