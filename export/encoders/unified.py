"""All-in-one's transformer (Wang et al., CVPR 2023): the same blocks for words and for the patches of frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .vit import VitBase, VitBlock


@dataclass(frozen=True)
class AllInOneSizes:
    """Sizes of the transformer and the text embeddings; ``moments`` frames have an embedding of their time."""

    width: int = 768
    layers: int = 12
    inside: int = 3072
    vocab_size: int = 30522
    positions: int = 40
    patch: int = 16
    image_size: int = 224
    moments: int = 3
    embed_dim: int = 512

    @property
    def tokens(self) -> int:
        """The class token and the patches of a frame."""
        return (self.image_size // self.patch) ** 2 + 1


class Transformer(VitBase):
    """The blocks that both sides share, and how a frame becomes tokens."""

    def __init__(self, sizes: AllInOneSizes, heads: int) -> None:
        width = sizes.width
        super().__init__(width, patch=sizes.patch, image_size=sizes.image_size, moments=sizes.moments)
        self.blocks = nn.ModuleList(VitBlock(width, heads=heads, inside=sizes.inside) for _ in range(sizes.layers))

    def place_frames(self, frames: Tensor) -> Tensor:
        """Normalised frames [V, F, 3, H, W] to their class tokens and patches [V, F, 1 + P, D].

        The patches lie row by row; the authors take them in an order that they draw anew for every frame.
        """
        first, patches = self.place(frames)
        return torch.cat([first.unsqueeze(1).expand(-1, patches.shape[1], -1, -1), patches], 2)

    def first(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the blocks make of the first token: tokens [B, N, D] and a bias [B, 1, 1, N] to [B, D]."""
        for block in self.blocks:
            tokens = block(tokens, bias)
        return self.norm(tokens[:, 0])
