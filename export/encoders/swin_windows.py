"""Windows over a clip's grid (Liu et al., 2022): how large, how far shifted, and which tokens see each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

# Added to the attention logits of tokens that a shift brought together from both ends: the authors' constant.
APART = -100.0

Axes = tuple[int, int, int]


@dataclass(frozen=True)
class Windows:
    """The windows of one block over a grid of time, height and width.

    Attributes:
        grid: tokens along each axis.
        size: of a window along each axis.
        shift: how far the windows are moved along each axis.
    """

    grid: Axes
    size: Axes
    shift: Axes

    @staticmethod
    def over(grid: Axes, window: Axes, *, shifted: bool) -> Windows:
        """Windows of half a window's shift; an axis no longer than a window has one that is not shifted."""
        axes = [(n, 0) if n <= w else (w, w // 2 if shifted else 0) for n, w in zip(grid, window, strict=True)]
        (t, t_by), (h, h_by), (w, w_by) = axes
        return Windows(grid, (t, h, w), (t_by, h_by, w_by))

    @property
    def padded(self) -> Axes:
        """The grid, filled up to whole windows."""
        t, h, w = (n + -n % size for n, size in zip(self.grid, self.size, strict=True))
        return t, h, w

    def split(self, x: Tensor) -> Tensor:
        """The grid [B, T, H, W, C] as windows [B, windows, tokens, C]: filled up with zeros, and moved."""
        after = [full - n for full, n in zip(self.padded, self.grid, strict=True)]
        if any(after):
            x = F.pad(x, (0, 0, 0, after[2], 0, after[1], 0, after[0]))
        if any(self.shift):
            x = x.roll([-by for by in self.shift], (1, 2, 3))
        return self._cut(x)

    def join(self, x: Tensor) -> Tensor:
        """Windows [B, windows, tokens, C] as the grid [B, T, H, W, C] again."""
        counts = self._counts()
        x = x.unflatten(2, self.size).unflatten(1, counts)
        t, h, w = self.padded
        x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, t, h, w, x.shape[-1])
        if any(self.shift):
            x = x.roll(self.shift, (1, 2, 3))
        t, h, w = self.grid
        return x[:, :t, :h, :w]

    def regions(self) -> Tensor | None:
        """For each token of each window, int64 [windows, tokens], the part of the grid it comes from, if moved.

        Tokens of a window see each other where these are the same.
        """
        if not any(self.shift):
            return None
        parts = [
            torch.tensor([(place >= n - size) + (place >= n - by) if by else 0 for place in range(n)])
            for n, size, by in zip(self.padded, self.size, self.shift, strict=True)
        ]
        t, h, w = parts
        region = 9 * t[:, None, None] + 3 * h[:, None] + w
        return self._cut(region[None, ..., None])[0, ..., 0]

    def _counts(self) -> Axes:
        t, h, w = (n // size for n, size in zip(self.padded, self.size, strict=True))
        return t, h, w

    def _cut(self, x: Tensor) -> Tensor:
        for axis, count in zip((1, 3, 5), self._counts(), strict=True):
            x = x.unflatten(axis, (count, -1))
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)


def relative_index(window: Axes) -> Tensor:
    """The row of the table of position biases for each two tokens of a whole window: int64 [tokens, tokens]."""
    places = torch.tensor(list(product(*map(range, window))))
    apart = places[:, None] - places[None] + torch.tensor(window) - 1
    _, h, w = (2 * side - 1 for side in window)
    return apart[..., 0] * h * w + apart[..., 1] * w + apart[..., 2]


def table_rows(window: Axes) -> int:
    """Rows of the table of position biases: how two tokens of a window can lie to each other."""
    return prod(2 * side - 1 for side in window)


def window_of(tokens: int, rows: int) -> Axes | None:
    """The square window of so many tokens whose table has so many rows, if there is one."""
    for side in range(1, tokens + 1):
        deep, rest = divmod(tokens, side * side)
        if not deep:
            break
        if not rest and table_rows((deep, side, side)) == rows:
            return deep, side, side
    return None
