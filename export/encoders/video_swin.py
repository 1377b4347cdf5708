"""Video Swin Transformer (Liu et al., CVPR 2022): attention in windows over time and space, the authors' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .swin_windows import APART, Axes, Windows, relative_index, table_rows
from .vit import Mlp

EPS = 1e-5
# Windows times heads whose logits are held at once: of a published clip's first stage all of them are 315 MB.
_AT_ONCE = 64


@dataclass(frozen=True)
class SwinConfig:
    """Sizes of a Video Swin; one number of blocks and of attention heads for each stage."""

    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: Axes = (8, 7, 7)
    patch: Axes = (2, 4, 4)
    ratio: int = 4

    @property
    def out(self) -> int:
        """The width of the last stage."""
        return self.width << (len(self.depths) - 1)


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, with a bias for how two tokens lie to each other."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: Axes) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads don't divide the width {width}")
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(0.02 * torch.randn(table_rows(window), heads))
        # The authors keep it with every block. Graphs read the tower's single one.
        self.register_buffer("relative_position_index", relative_index(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        name = f"{prefix}relative_position_index"
        given = state_dict.get(name)
        if given is not None and not torch.equal(given.long(), self.relative_position_index):
            raise ValueError(f"{name} is not that of its windows: the file is damaged, or of another variant")
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor, index: Tensor, regions: Tensor | None) -> Tensor:
        """Windows [B, windows, N, C] to the same shape.

        Args:
            index: the table's rows, int64 [N * N].
            regions: which tokens see each other, int64 [windows, N]; all where there are none.
        """
        tokens, width = x.shape[-2:]
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[index].unflatten(0, (tokens, tokens)).permute(2, 0, 1)
        mixed: list[Tensor] = []
        for first in range(0, x.shape[1], step := max(1, _AT_ONCE // self.heads)):
            q, k, v = qkv[:, :, first : first + step].unbind(0)
            logits = q * (width // self.heads) ** -0.5 @ k.transpose(-1, -2) + bias
            if regions is not None:
                some = regions[first : first + step]
                logits = logits + ((some[:, :, None] != some[:, None]).to(x.dtype) * APART)[:, None]
            mixed.append(logits.softmax(-1) @ v)
        return self.proj(torch.cat(mixed, 1).transpose(2, 3).flatten(-2))


class SwinBlock(nn.Module):
    """x + attention in windows of LN(x), then x + MLP(LN(x))."""

    def __init__(self, width: int, heads: int, config: SwinConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = WindowAttention(width, heads, config.window)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, config.ratio * width)

    def forward(self, x: Tensor, windows: Windows, index: Tensor, regions: Tensor | None) -> Tensor:
        """[B, T, H, W, C] to the same shape."""
        x = x + windows.join(self.attn(windows.split(self.norm1(x)), index, regions))
        return x + self.mlp(self.norm2(x))


class Merging(nn.Module):
    """Four neighbours in space to one token of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, H, W, C] to [B, T, H/2, W/2, 2 C], odd sides filled up with zeros."""
        height, width = x.shape[2:4]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        four = [x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, -1)))


class Stage(nn.Module):
    """Blocks, of which every second one has shifted windows."""

    def __init__(self, width: int, depth: int, heads: int, config: SwinConfig, *, merges: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SwinBlock(width, heads, config) for _ in range(depth))
        self.downsample = Merging(width) if merges else None


class PatchEmbed3d(nn.Module):
    """Boxes of a clip as vectors."""

    def __init__(self, width: int, patch: Axes) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv3d(3, width, kernel_size=patch, stride=patch)
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised clips [B, 3, F, H, W] to [B, T, H', W', width], what is no whole box filled up with zeros."""
        after = [-n % size for n, size in zip(pixels.shape[2:], self.patch, strict=True)]
        if any(after):
            pixels = F.pad(pixels, (0, after[2], 0, after[1], 0, after[0]))
        return self.norm(self.proj(pixels).permute(0, 2, 3, 4, 1))


class VideoSwin(nn.Module):
    """A clip of fixed frames and side to a grid of vectors.

    What depends on the grid alone (windows, shifts, which tokens see each other) is decided here, once. The graph
    keeps one index of biases for all blocks whose windows are as large: with the biases of every block written out it
    would be 231 MB larger.
    """

    def __init__(self, config: SwinConfig, frames: int, side: int) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed3d(config.width, config.patch)
        last = len(config.depths) - 1
        self.layers = nn.ModuleList(
            Stage(config.width << stage, depth, heads, config, merges=stage < last)
            for stage, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True))
        )
        self.norm = nn.LayerNorm(config.out, eps=EPS)
        t, h, w = (-(-n // size) for n, size in zip((frames, side, side), config.patch, strict=True))
        self.windows: list[tuple[Windows, Windows]] = []
        whole = relative_index(config.window)
        for stage in range(len(config.depths)):
            grid = (t, -(-h >> stage), -(-w >> stage))
            pair = tuple(Windows.over(grid, config.window, shifted=shifted) for shifted in (False, True))
            self.windows.append((pair[0], pair[1]))
            self._constant(f"regions_{stage}", pair[1].regions())
            tokens = prod(pair[0].size)
            # Of a window that is cut short the authors take the table's first rows, not those of its own places.
            self._constant(f"index_{tokens}", whole[:tokens, :tokens].flatten())

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised clips [V, F, 3, S, S] to the normed grid [V, T, H, W, C] of the last stage."""
        x = self.patch_embed(pixels.transpose(1, 2))
        stages: Sequence[Stage] = list(self.layers)  # type: ignore[arg-type]
        for number, (stage, (plain, shifted)) in enumerate(zip(stages, self.windows, strict=True)):
            index, regions = getattr(self, f"index_{prod(plain.size)}"), getattr(self, f"regions_{number}")
            for place, block in enumerate(stage.blocks):
                x = block(x, shifted, index, regions) if place % 2 else block(x, plain, index, None)
            if stage.downsample is not None:
                x = stage.downsample(x)
        return self.norm(x)

    def _constant(self, name: str, value: Tensor | None) -> None:
        if not hasattr(self, name):
            self.register_buffer(name, value, persistent=False)
