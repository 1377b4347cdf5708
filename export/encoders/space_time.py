"""Vision transformers for clips (Bain et al., 2021): attention in space and time, together or apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .post_ln import attend
from .vit import EPS, VitAttention, VitBase, VitBlock


@dataclass(frozen=True)
class VitConfig:
    """Sizes of a vision transformer for clips. Attention heads are width / 64 where not given.

    ``moments`` are the rows of its table of positions in time; ``divided`` says whether it attends in time and in space
    apart.
    """

    width: int = 768
    layers: int = 12
    patch: int = 16
    image_size: int = 224
    moments: int = 4
    inside: int = 3072
    divided: bool = True
    heads: int | None = None


class DividedAttention(VitAttention):
    """A patch attends to the class token and to the patches of its group; the class token to all.

    A group is a frame's patches, or the patches of one place in all frames.
    """

    def divided(self, x: Tensor, frames: int, *, time: bool) -> Tensor:
        """[V, 1 + F P, W], the class token first and then frame by frame, to the same shape.

        Args:
            frames: F.
            time: whether a group is a place in all frames.
        """
        q, k, v = self.project(x)
        token = attend(q[:, :1], k, v, self.heads)
        grouped = [y[:, 1:].unflatten(1, (frames, -1)) for y in (q, k, v)]
        if time:
            grouped = [y.transpose(1, 2) for y in grouped]
        queries, *others = grouped
        groups = queries.shape[1]
        keys, values = (
            torch.cat([y[:, None, :1].expand(-1, groups, -1, -1), other], 2).flatten(0, 1)
            for y, other in zip((k, v), others, strict=True)
        )
        patches = attend(queries.flatten(0, 1), keys, values, self.heads).unflatten(0, (-1, groups))
        if time:
            patches = patches.transpose(1, 2)
        return self.proj(torch.cat([token, patches.flatten(1, 2)], 1))


class DividedBlock(nn.Module):
    """Attention in time, then in space, then the MLP.

    The sum over the spatial attention begins at the block's input: what time adds reaches only the input of space.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        plain = VitBlock(config.width, heads=config.heads, inside=config.inside)
        self.norm1, self.norm2, self.mlp = plain.norm1, plain.norm2, plain.mlp
        self.attn = DividedAttention(config.width, config.heads)
        self.timeattn = DividedAttention(config.width, config.heads)
        self.norm3 = nn.LayerNorm(config.width, eps=EPS)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[V, 1 + F P, W] with F ``frames`` to the same shape."""
        moved = x + self.timeattn.divided(self.norm3(x), frames, time=True)
        x = x + self.attn.divided(self.norm1(moved), frames, time=False)
        return x + self.mlp(self.norm2(x))


class SpaceTimeVit(VitBase):
    """A clip to its class token. Blocks attend in time and space apart, or else to everything at once."""

    def __init__(self, config: VitConfig) -> None:
        sizes = {"patch": config.patch, "image_size": config.image_size, "moments": config.moments}
        super().__init__(config.width, **sizes)
        self.divided = config.divided
        made = (
            DividedBlock(config) if config.divided else VitBlock(config.width, heads=config.heads, inside=config.inside)
            for _ in range(config.layers)
        )
        self.blocks = nn.ModuleList(made)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised clips [V, F, 3, H, W] to the normed class token [V, W]."""
        token, patches = self.place(pixels)
        x = torch.cat([token, patches.flatten(1, 2)], 1)
        for block in self.blocks:
            x = block(x, pixels.shape[1]) if self.divided else block(x)
        return self.norm(x[:, 0])
