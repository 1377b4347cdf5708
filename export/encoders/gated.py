"""The gated embedding unit of Miech et al. (2018), which HowTo100M and MMT embed with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Gate(nn.Module):
    """``y * sigmoid(fc y)``, with a batch normalisation of what the sigmoid is of where there is one."""

    def __init__(self, width: int, *, norm: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.batch_norm = nn.BatchNorm1d(width) if norm else None

    def forward(self, y: Tensor) -> Tensor:
        """[B, width] to [B, width]."""
        gate = self.fc(y)
        return y * torch.sigmoid(gate if self.batch_norm is None else self.batch_norm(gate))


class GatedUnit(nn.Module):
    """A projection, its gate, and unit length.

    Args:
        norm: whether the gate's batch normalisation is applied.
    """

    def __init__(self, takes: int, gives: int, *, norm: bool = False) -> None:
        super().__init__()
        self.fc = nn.Linear(takes, gives)
        self.cg = Gate(gives, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """[B, takes] to unit vectors [B, gives]."""
        return F.normalize(self.cg(self.fc(x)), dim=-1)
