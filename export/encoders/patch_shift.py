"""TS2-Net's vision tower (Liu et al., ECCV 2022): in some blocks the attention reads patches of neighbouring frames."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from .clip_vision import VisionTower

# A seventh of the tokens moves each way.
DIVISIONS = 7


def shift_patches(x: Tensor) -> Tensor:
    """Give some tokens of every frame the values of the frame before, others those of the frame after.

    With steps of N // 7 tokens, those from token 1 on take the frame before and those from token 4 on the frame after.
    The first and last frame keep their own where there is no neighbour. Where both rules name a token, the second wins.

    Args:
        x: [V, F, N, width], the class token first.

    Raises:
        ValueError: fewer than seven tokens.
    """
    frames, tokens = x.shape[1], x.shape[2]
    step = tokens // DIVISIONS
    if not step:
        raise ValueError(f"a frame has {tokens} tokens, shifting patches needs at least {DIVISIONS}")
    place = torch.arange(tokens, device=x.device)
    from_before = ((place >= 1) & ((place - 1) % step == 0)).view(1, 1, -1, 1)
    from_after = ((place >= 4) & ((place - 4) % step == 0)).view(1, 1, -1, 1)
    before = torch.cat([x[:, :1], x[:, : frames - 1]], 1)
    shifted = torch.where(from_before, before, x)
    # The last frame has no frame after it, so it keeps what the first rule gave it.
    after = torch.cat([x[:, 1:], shifted[:, frames - 1 :]], 1)
    return torch.where(from_after, after, shifted)


class PatchShift(nn.Module):
    """Attention on shifted tokens; the authors' name for the attention inside is ``net``."""

    def __init__(self, net: nn.Module, frames: int) -> None:
        super().__init__()
        self.net = net
        self.frames = frames

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[V * F, N, width] to [V * F, N, width]."""
        return self.net(shift_patches(x.unflatten(0, (-1, self.frames))).flatten(0, 1), bias)


class ShiftTower(VisionTower):
    """A vision tower whose ``shift_layers`` (counted from 0) shift patches; it reads clips of exactly ``frames``."""

    def __init__(self, *, frames: int, shift_layers: Collection[int], **sizes: Any) -> None:
        super().__init__(**sizes)
        for layer in shift_layers:
            block = self.transformer.resblocks[layer]
            block.attn = PatchShift(block.get_submodule("attn"), frames)

    def embed_tokens(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [V, F, 3, H, W] to projected tokens [V, F, N, D], the class token first."""
        x = self.transformer(self.enter(self.conv1(pixels.flatten(0, 1)).flatten(2).transpose(1, 2)))
        return (self.ln_post(x) @ self.proj).unflatten(0, (-1, pixels.shape[1]))
