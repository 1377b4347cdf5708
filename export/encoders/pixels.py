"""The mean and deviation of pixels, for towers that keep neither in their weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# RGB from 0 to 255, as networks trained on ImageNet take them.
IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Pixels(nn.Module):
    """Constants of the three channels, of RGB from 0 to 255; not part of the state_dict."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def standardise(self, frames: Tensor) -> Tensor:
        """RGB from 0 to 255 [..., 3, H, W] of any dtype to normalised pixels."""
        return (frames.to(self.mean.dtype) - self.mean) / self.std

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 RGB [..., 3, H, W] to normalised pixels; floating frames are so already."""
        return frames.to(self.mean.dtype) if frames.is_floating_point() else self.standardise(frames)
