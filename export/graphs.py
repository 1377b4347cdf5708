"""The three functions of a system as modules of their own, ready to be exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..kernels.topk_attention.factorised import FactorisedHead, score
from ..kernels.topk_attention.layout import HeadShape
from .bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER, GraphPorts, topk_attention_ports
from .systems.dong2026 import Dong2026


class VideoEncoder(nn.Module):
    """Frames uint8 [B, F, 3, S, S] to the video record: frame vectors, Gram table, mean embedding."""

    def __init__(self, model: Dong2026, head: FactorisedHead) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Dong2026.encode_video`` and ``FactorisedHead.encode_video``."""
        embeddings, mean = self.model.encode_video(frames)
        return (*self.head.encode_video(embeddings), mean)


class TextEncoder(nn.Module):
    """Token ids int64 [B, W] to the text record, at any length W."""

    def __init__(self, model: Dong2026, head: FactorisedHead) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Dong2026.encode_text`` and ``FactorisedHead.encode_text``."""
        return self.head.encode_text(self.model.encode_text(token_ids))


class Scorer(nn.Module):
    """Text records [Q, ...] and video records [V, ...] to scores [Q, V] and attention [Q, V, F]; it has no weights."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(
        self,
        logit_vector: Tensor,
        readout_vector: Tensor,
        text_scalars: Tensor,
        frame_vectors: Tensor,
        gram_table: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """See ``factorised.score``."""
        return score(logit_vector, readout_vector, text_scalars, frame_vectors, gram_table, self.shape)


def head_shape(model: Dong2026) -> HeadShape:
    """The sizes of the model's scorer."""
    config = model.config
    return HeadShape(config.frames, config.clip.embed_dim, config.top_k, config.heads)


def graphs(model: Dong2026) -> dict[str, nn.Module]:
    """The modules of every graph, by name, in evaluation mode and the model's own precision."""
    model.eval()
    head = FactorisedHead(model.pool_frames, model.config.frames)
    return {
        VIDEO_ENCODER: VideoEncoder(model, head),
        TEXT_ENCODER: TextEncoder(model, head),
        SCORER: Scorer(head.shape),
    }


def ports(model: Dong2026) -> Mapping[str, GraphPorts]:
    """Inputs and outputs of every graph, by name."""
    return topk_attention_ports(head_shape(model), model.config.clip.image_size)


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
