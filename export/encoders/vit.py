"""The vision transformer (Dosovitskiy et al., 2021): norms before the sums, the exact GELU, timm's state_dict names."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .heads import heads_of
from .post_ln import attend

EPS = 1e-6


class VitAttention(nn.Module):
    """Multi-head attention; ``qkv`` holds the rows of query, key and value in that order.

    ``heads`` is width / 64 where not given.
    """

    def __init__(self, width: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads_of(width, heads)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[..., W] to its queries, keys and values, each [..., W]."""
        q, k, v = self.qkv(x).chunk(3, -1)
        return q, k, v

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``post_ln.attend``."""
        return self.proj(attend(*self.project(x), self.heads, bias))


class Mlp(nn.Sequential):
    """fc2(GELU(fc1(x)))."""

    def __init__(self, width: int, inside: int | None = None) -> None:
        inside = inside or 4 * width
        super().__init__(OrderedDict(fc1=nn.Linear(width, inside), act=nn.GELU(), fc2=nn.Linear(inside, width)))


class VitBlock(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, *, heads: int | None = None, inside: int | None = None, eps: float = EPS) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = VitAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, inside)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``post_ln.attend``."""
        x = x + self.attn(self.norm1(x), bias)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Squares of an image as vectors."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] to patches [B, P, width], row by row."""
        return self.proj(pixels).flatten(2).transpose(1, 2)


class VitBase(nn.Module):
    """What a tower for clips has but its blocks: patches, positions in space and time, a class token, the last norm.

    Args:
        moments: rows of the table of positions in time.
    """

    def __init__(self, width: int, *, patch: int, image_size: int, moments: int, eps: float = EPS) -> None:
        super().__init__()
        patches = (image_size // patch) ** 2
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + patches, width))
        self.temporal_embed = nn.Parameter(0.02 * torch.randn(1, moments, width))
        self.patch_embed = PatchEmbed(width, patch)
        self.norm = nn.LayerNorm(width, eps=eps)

    def place(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised clips [V, F, 3, H, W] to the class token [V, 1, W] and patches [V, F, P, W], with positions.

        Frames beyond the table of positions in time get none: the authors fill the table with zeros.
        """
        clips, frames = pixels.shape[:2]
        patches = self.patch_embed(pixels.flatten(0, 1)).unflatten(0, (-1, frames))
        table = self.temporal_embed[:, :frames]
        table = F.pad(table, (0, 0, 0, frames - table.shape[1]))
        patches = patches + self.pos_embed[:, None, 1:] + table[:, :, None]
        return (self.cls_token + self.pos_embed[:, :1]).expand(clips, -1, -1), patches
