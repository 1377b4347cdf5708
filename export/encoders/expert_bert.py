"""MMT's video encoder (Gabeur et al., 2020): a BERT over the features of several experts, with when each row was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .post_ln import EPS, Layer, Layers, key_bias


class NamedOutput(nn.Module):
    """An ``Output`` under the authors' name of its LayerNorm."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.dense, self.layer_norm = output.dense, output.LayerNorm

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """As ``Output``."""
        return self.layer_norm(self.dense(y) + x)


class ExpertEmbeddings(nn.Module):
    """LN(feature + which expert + when)."""

    def __init__(self, width: int, positions: int, types: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(types, width)
        self.layer_norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, types: Tensor, times: Tensor) -> Tensor:
        """Features [V, N, width], types int64 [N] and times [V, N] to [V, N, width].

        A time is that of its second; all after the last position share it.
        """
        places = times.trunc().long().clamp(0, self.position_embeddings.num_embeddings - 1)
        return self.layer_norm(x + self.token_type_embeddings(types) + self.position_embeddings(places))


class ExpertBert(nn.Module):
    """Tokens: one that stands for nothing, then for every expert its pooled feature and its rows.

    Args:
        types: of the experts, in their order.
    """

    expert_types: Tensor

    def __init__(
        self, width: int, layers: int, inside: int, *, positions: int, kinds: int, types: Sequence[int], heads: int
    ) -> None:
        super().__init__()
        self.embeddings = ExpertEmbeddings(width, positions, kinds)
        self.encoder = Layers(width, layers, heads=heads, inside=inside)
        for layer in self.encoder.layer:
            assert isinstance(layer, Layer)
            layer.attention["output"] = NamedOutput(layer.attention["output"])
            layer.output = NamedOutput(layer.output)  # type: ignore[assignment]
        self.register_buffer("expert_types", torch.tensor(types), persistent=False)

    def forward(self, features: Tensor, times: Tensor, present: Tensor) -> Tensor:
        """The experts' embeddings.

        Args:
            features: projected, unit vectors [V, M, 1 + T, width], the pooled one first.
            times: [V, M, T], seconds and 2, or 1 where it is not known.
            present: [V, M, T], 1 for a row and 0 for padding.

        Returns:
            Unit vectors [V, M, width], those of missing experts too: they see the others, though none sees them.
        """
        videos, count, rows, width = features.shape
        tokens = torch.cat([features.new_zeros(videos, 1, width), features.flatten(1, 2)], 1)
        types = torch.cat([self.expert_types.new_zeros(1), self.expert_types.repeat_interleave(rows)])
        start = times.new_zeros(videos, 1)
        when = torch.cat([start, torch.cat([times.new_zeros(videos, count, 1), times], 2).flatten(1)], 1)
        pooled = present.amax(2, keepdim=True)
        mask = torch.cat([start + 1, torch.cat([pooled, present], 2).flatten(1)], 1)
        hidden = self.encoder(self.embeddings(tokens, types, when), key_bias(mask, tokens.dtype))
        return F.normalize(hidden[:, 1:].unflatten(1, (count, rows))[:, :, 0], dim=-1)
