"""CLIP4Clip's ``--linear_patch 3d``: the patch embedding sees the frames before and after as well."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .clip_vision import VisionTower


class VisionTower3d(VisionTower):
    """``conv2`` over three frames takes the place of ``conv1``, which the weights hold unused (Luo et al., 2021)."""

    def __init__(self, *, width: int, patch: int, **sizes: Any) -> None:
        super().__init__(width=width, patch=patch, **sizes)
        self.conv2 = nn.Conv3d(
            3, width, kernel_size=(3, patch, patch), stride=(1, patch, patch), padding=(1, 0, 0), bias=False
        )

    def embed_clips(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [V, F, 3, H, W] to raw frame embeddings [V, F, D]."""
        patches = self.conv2(pixels.transpose(1, 2)).transpose(1, 2)
        x = self.transformer(self.enter(patches.flatten(0, 1).flatten(2).transpose(1, 2)))
        return (self.ln_post(x[:, 0]) @ self.proj).unflatten(0, (-1, pixels.shape[1]))
