"""CLIP's text transformer (Radford et al., 2021), OpenAI's state_dict names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .transformer import Transformer


class TextTower(nn.Module):
    """One text to one embedding, read at its end token.

    The attention is causal, so tokens after the end token can't change the embedding: any padded length that holds the
    text gives the same result, and the graph runs at the length it is given.
    """

    def __init__(
        self,
        *,
        width: int,
        layers: int,
        vocab_size: int,
        context_length: int,
        embed_dim: int,
        heads: int | None = None,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(context_length, width))
        self.transformer = Transformer(width, layers, causal=True, heads=heads)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(width**-0.5 * torch.randn(width, embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [B, W], W at most the context length, to raw embeddings [B, D].

        The end token has the largest id; where it is also the padding, its first occurrence counts.
        """
        x = self.transformer(self.enter(token_ids))
        # One row per text is enough after the last block: norm and projection act on each position alone.
        end = token_ids.argmax(-1)
        x = x[torch.arange(x.shape[0], device=x.device), end]
        return self.ln_final(x) @ self.text_projection

    def enter(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [B, W] to what the first block reads [B, W, width]."""
        return self.token_embedding(token_ids) + self.positional_embedding[: token_ids.shape[1]]

    def embed_positions(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [B, W] to the projected embedding of every position [B, W, D], those of padding included."""
        return self.ln_final(self.transformer(self.enter(token_ids))) @ self.text_projection


def at_end(tokens: Tensor, token_ids: Tensor) -> Tensor:
    """The rows [B, D] of ``tokens`` [B, W, D] at each text's end token, which has the largest id."""
    return tokens[torch.arange(tokens.shape[0], device=tokens.device), token_ids.argmax(-1)]
