"""ResNet with bottlenecks in Caffe's arrangement, under detectron2's names (He et al., 2016; Wu et al., 2019).

A stage halves the picture in the first 1x1 convolution of its first block. torchvision's ResNet does it in the 3x3,
with weights of the same shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5


@dataclass(frozen=True)
class Stage:
    """One stage: its blocks, the channels inside a block, and those that it gives."""

    blocks: int
    inner: int
    outer: int


RESNET_50 = (Stage(3, 64, 256), Stage(4, 128, 512), Stage(6, 256, 1024), Stage(3, 512, 2048))
STEM = 64


class FrozenNorm(nn.Module):
    """A batch normalisation whose statistics no longer move: four vectors [C] and no counter."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def affine(self) -> tuple[Tensor, Tensor]:
        """What it multiplies by and what it adds, [C] each."""
        scale = self.weight / (self.running_var + EPS).sqrt()
        return scale, self.bias - self.running_mean * scale


class NormedConv(nn.Conv2d):
    """A convolution without bias and its frozen normalisation, under ``norm``."""

    kernel: Tensor | None
    shift: Tensor | None

    def __init__(self, inside: int, outside: int, size: int, *, stride: int = 1) -> None:
        super().__init__(inside, outside, size, stride=stride, padding=size // 2, bias=False)
        self.norm = FrozenNorm(outside)
        self.register_buffer("kernel", None, persistent=False)
        self.register_buffer("shift", None, persistent=False)

    def fold(self) -> None:
        """Compute the one convolution that both are, once."""
        self.kernel, self.shift = self._folded()

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C', H', W']."""
        kernel, shift = self._folded() if self.kernel is None or self.shift is None else (self.kernel, self.shift)
        return F.conv2d(x, kernel, shift, self.stride, self.padding)

    def _folded(self) -> tuple[Tensor, Tensor]:
        scale, shift = self.norm.affine()
        return self.weight * scale[:, None, None, None], shift


class Stem(nn.Module):
    """A 7x7 convolution and a maximum, each of every second pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = NormedConv(3, channels, 7, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, C, H / 4, W / 4]."""
        return F.max_pool2d(self.conv1(x).relu(), 3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1, and what came in beside them."""

    def __init__(self, inside: int, stage: Stage, *, stride: int) -> None:
        super().__init__()
        if inside != stage.outer:
            self.shortcut = NormedConv(inside, stage.outer, 1, stride=stride)
        self.conv1 = NormedConv(inside, stage.inner, 1, stride=stride)
        self.conv2 = NormedConv(stage.inner, stage.inner, 3)
        self.conv3 = NormedConv(stage.inner, stage.outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C', H', W']."""
        beside = self.shortcut(x) if hasattr(self, "shortcut") else x
        inner: Tensor = self.conv3(self.conv2(self.conv1(x).relu()).relu())
        return (inner + beside).relu()


class ResNet(nn.Module):
    """The stem and the stages ``res2`` and on; the first keeps the size, each later one halves it."""

    def __init__(self, stem: int = STEM, stages: Sequence[Stage] = RESNET_50) -> None:
        super().__init__()
        self.stem = Stem(stem)
        inside = stem
        for number, stage in enumerate(stages, 2):
            blocks = []
            for place in range(stage.blocks):
                blocks.append(Bottleneck(inside, stage, stride=2 if number > 2 and not place else 1))
                inside = stage.outer
            self.add_module(f"res{number}", nn.Sequential(*blocks))
        self._names = [f"res{number}" for number in range(2, 2 + len(stages))]

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to the last stage's [N, C, H / 32, W / 32]."""
        x = self.stem(x)
        for name in self._names:
            x = self.get_submodule(name)(x)
        return x
