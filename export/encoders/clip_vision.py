"""CLIP's vision transformer (Radford et al., 2021), OpenAI's state_dict names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .transformer import Transformer

# Mean and standard deviation of RGB in [0, 1], as CLIP was trained.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)

# Mean and deviation of the three channels, of pixels from 0 to 255.
PixelScale = tuple[Sequence[float], Sequence[float]]


class VisionTower(nn.Module):
    """One image to one embedding. ViT-B/32: width 768, 12 layers, patch 32, image 224, 512 out."""

    # Constants, so not part of the state_dict.
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        width: int,
        layers: int,
        patch: int,
        image_size: int,
        embed_dim: int,
        heads: int | None = None,
        pixels: PixelScale | None = None,
    ) -> None:
        """``pixels``: what to normalise with where it is not CLIP's own mean and deviation."""
        super().__init__()
        scale = width**-0.5
        patches = (image_size // patch) ** 2
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(patches + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, heads=heads)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))
        mean, std = (255 * torch.tensor(PIXEL_MEAN), 255 * torch.tensor(PIXEL_STD)) if pixels is None else pixels
        self.register_buffer("pixel_mean", torch.as_tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.as_tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 RGB [B, 3, H, W] to raw embeddings [B, D]."""
        return self.embed(self.standardise(pixels))

    def standardise(self, pixels: Tensor) -> Tensor:
        """RGB from 0 to 255 [..., 3, H, W] of any dtype to normalised pixels in the weights' dtype."""
        return (pixels.to(self.proj.dtype) - self.pixel_mean) / self.pixel_std

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 RGB [..., 3, H, W] to normalised pixels in the weights' dtype; floating frames are so already."""
        return frames.to(self.proj.dtype) if frames.is_floating_point() else self.standardise(frames)

    def embed(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] to raw embeddings [B, D]."""
        x = self.transformer(self.enter(self.conv1(pixels).flatten(2).transpose(1, 2)))
        return self.ln_post(x[:, 0]) @ self.proj

    def enter(self, patches: Tensor) -> Tensor:
        """Patches [B, P, width] to what the first block reads [B, 1 + P, width], the class token first."""
        x = torch.cat([self.class_embedding.expand(patches.shape[0], 1, -1), patches], dim=1)
        return self.ln_pre(x + self.positional_embedding)

    def embed_clips(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [V, F, 3, H, W] to raw frame embeddings [V, F, D], each frame by itself."""
        return self.embed(pixels.flatten(0, 1)).unflatten(0, (-1, pixels.shape[1]))
