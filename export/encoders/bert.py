"""BERT (Devlin et al., 2019) as a text tower, and its parts for cross-encoders, under Hugging Face's names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .post_ln import EPS, Layers, key_bias

PADDING = 0


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT. Attention heads are width / 64 where not given, as in all that were released."""

    width: int = 768
    layers: int = 12
    inside: int = 3072
    vocab_size: int = 30522
    positions: int = 512
    types: int = 2
    heads: int | None = None


class Embeddings(nn.Module):
    """LN(word + position + type); without types where there are none of them, as in DistilBERT."""

    def __init__(self, width: int, vocab_size: int, positions: int, types: int = 2, eps: float = EPS) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(types, width) if types else None
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [B, W], all of type 0, to [B, W, width]."""
        x = self.word_embeddings(token_ids) + self.position_embeddings.weight[: token_ids.shape[1]]
        return self.LayerNorm(x if self.token_type_embeddings is None else x + self.token_type_embeddings.weight[0])


class Bert(nn.Module):
    """Embeddings and layers. Padding, token id 0, is masked, so any padded length gives the same embedding.

    Args:
        pooler: whether there is one.
    """

    def __init__(self, config: BertConfig, *, pooler: bool = False) -> None:
        super().__init__()
        self.embeddings = Embeddings(config.width, config.vocab_size, config.positions, config.types)
        self.encoder = Layers(config.width, config.layers, heads=config.heads, inside=config.inside)
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.width, config.width)}) if pooler else None

    def forward(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [B, W], W at most the positions, to the last layer's output [B, W, width]."""
        x = self.embeddings(token_ids)
        return self.encoder(x, key_bias(token_ids != PADDING, x.dtype))

    def pool(self, hidden: Tensor) -> Tensor:
        """The last layer's output [B, W, width] to tanh(dense) of the first token [B, width]."""
        assert self.pooler is not None
        return torch.tanh(self.pooler["dense"](hidden[:, 0]))
