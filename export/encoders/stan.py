"""STAN's vision tower (Liu et al., CVPR 2023, "Revisiting Temporal Modeling for CLIP-based Image-to-Video Transfer").

Beside the last blocks of CLIP's tower runs a branch that mixes frames: c is its class token, one a video, and b its
patches. Letters in shapes: V videos, F frames, P patches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .clip_vision import VisionTower
from .transformer import Attention, Block

# Mean and deviation of RGB from 0 to 255, as the authors' configurations have them.
PIXELS = ((122.771, 116.746, 104.093), (68.5, 66.632, 70.323))


class TimeLayer(nn.Module):
    """Attention over the frames at each place, added to the patches."""

    def __init__(self, width: int, heads: int | None) -> None:
        super().__init__()
        self.attn = Attention(width, causal=False, heads=heads)
        self.ln_1 = nn.LayerNorm(width)
        self.temporal_fc = nn.Linear(width, width)

    def forward(self, b: Tensor) -> Tensor:
        """[V, F, P, width] to the same shape."""
        x = self.ln_1(b).transpose(1, 2)
        seen = self.attn(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return b + self.temporal_fc(seen).transpose(1, 2)


class SpaceLayer(Block):
    """Attention within each frame, which the class token joins in every frame; then the block's MLP."""

    def branch(self, c: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Class token [V, width] and patches [V, F, P, width] to the same shapes."""
        tokens = torch.cat([c[:, None, None].expand(-1, b.shape[1], -1, -1), b], 2)
        seen = self.attn(self.ln_1(tokens).flatten(0, 1)).unflatten(0, b.shape[:2])
        c, b = c + seen[:, :, 0].mean(1), b + seen[:, :, 1:]
        return c + self.mlp(self.ln_2(c)), b + self.mlp(self.ln_2(b))


class StanTower(VisionTower):
    """``depth`` layers of the branch stand beside the last ``depth`` blocks; ``moments`` bounds the frames."""

    def __init__(self, *, width: int, heads: int | None = None, depth: int, moments: int, **sizes: Any) -> None:
        super().__init__(width=width, heads=heads, pixels=PIXELS, **sizes)
        self.STAN_T_layers = nn.ModuleList(TimeLayer(width, heads) for _ in range(depth))
        self.STAN_S_layers = nn.ModuleList(SpaceLayer(width, heads=heads) for _ in range(depth))
        self.STAN_time_embed = nn.Embedding(moments, width)

    def embed_clips(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [V, F, 3, H, W] to raw frame embeddings [V, F, D], each of which has seen all frames."""
        videos, frames = pixels.shape[:2]
        x = self.enter(self.conv1(pixels.flatten(0, 1)).flatten(2).transpose(1, 2))
        first = len(self.transformer.resblocks) - len(self.STAN_S_layers)
        place = self.positional_embedding
        c = (self.class_embedding + place[0]).expand(videos, -1)
        b = place[1:] + self.STAN_time_embed.weight[:frames, None]
        for layer, block in enumerate(self.transformer.resblocks):
            x = block(x)
            if layer < first:
                continue
            tokens = x.unflatten(0, (videos, frames))
            c, b = c + tokens[:, :, 0].mean(1), b + tokens[:, :, 1:]
            if layer == first:
                c = c / 2
            b = self.STAN_T_layers[layer - first](b)
            space = self.STAN_S_layers[layer - first]
            assert isinstance(space, SpaceLayer)
            c, b = space.branch(c, b)
        return self.ln_post(x.unflatten(0, (videos, frames))[:, :, 0] + c.unsqueeze(1)) @ self.proj
