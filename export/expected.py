"""What an export will take, told before it begins."""

from __future__ import annotations

import math

from torch import nn

from .encoders.video_swin import VideoSwin
from .systems.contract import System

# Of memory the most is wanted while the weights are float64. Time is that of torch's exporter, one minute on one thread
# for any tower, and then that of comparing, on all threads.
_BYTES, _BYTES_A_WEIGHT = 0.6e9, 11
_FIXED_S, _SECONDS = 60.0, 1.3e-9
_FRAMES = 12
# What the systems call their vision towers.
_TOWERS = ("visual", "video_model")


def expected(system: System) -> str:
    """A line with the memory and the time that writing and comparing a system's graphs will take."""
    weights = sum(parameter.numel() for parameter in system.parameters())
    seconds = _FIXED_S + _SECONDS * _operations(system) * system.frames / _FRAMES
    return (
        f"{weights / 1e6:.0f} million weights: about {(_BYTES + weights * _BYTES_A_WEIGHT) / 1e9:.1f} GB of memory and "
        f"{max(1, round(seconds / 60))} min on two cores"
    )


def _operations(system: System) -> float:
    """Multiplications for one frame: the vision tower's weights times its tokens."""
    swins = [module for module in system.modules() if isinstance(module, VideoSwin)]
    if swins:
        return swins[0].multiplications() / system.frames
    vision = [module for name, module in system.named_modules() if name.endswith(_TOWERS)]
    patches = [module for module in system.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)]
    if not vision or not patches:
        return 0.0
    side = system.video_inputs[0].shape[-1] / patches[0].kernel_size[-1]
    weights = sum(parameter.numel() for parameter in vision[0].parameters())
    return float(weights * (1 + math.floor(side) ** 2))
