"""Shapes and memory layout of what the factorised scorers read, shared by every implementation.

Letters in shapes: Q queries, V videos, F frames, H heads, D embedding width, N = H F attention weights of a pair
(head-major), S streams, R rows of the Gram table.

One head reads the same frame vectors for its logits and for its readout: S = 1. With more heads keys and values are
kept apart, S = 2, because then a pair costs 4FD operations for any number of heads.

The Gram table of a video holds three symmetric forms and three vectors over its N weights. Row ``3 t + m`` is entry t
of form m, where t counts the pairs (i, j >= i) of the upper triangle row by row and entries off the diagonal are
doubled, so that a form is one sum over t of ``entry * a_i * a_j``. Row ``3 T + 3 n + m`` is entry n of vector m. In
memory the tables of 16 videos lie side by side, [ceil(V / 16), R, 16]: one vector load takes a row of 16 videos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import lanes

# Videos whose tables lie side by side.
LANES = lanes.LANES
# Below the square of any norm that float32 can tell from zero; csrc/epilogue.h and epilogue.py say the same.
TINY = 1e-30
# Text-side scalars: tau_0, tau_1, tau_2 of the readout and 2 kappa of the norm.
SCALARS = 4


@dataclass(frozen=True)
class HeadShape:
    """Sizes of a scorer.

    Raises:
        ValueError: sizes that don't go together.
    """

    frames: int
    width: int
    top_k: int
    heads: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1 or self.width < 1 or self.heads < 1:
            raise ValueError(f"frames, width and heads must be at least 1: {self}")
        if not 1 <= self.top_k <= self.frames:
            raise ValueError(f"top_k is {self.top_k}, it must lie between 1 and the number of frames, {self.frames}")
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads don't divide the width {self.width}")

    @property
    def streams(self) -> int:
        """S: 1 where one set of frame vectors serves both products, 2 for keys and values."""
        return 1 if self.heads == 1 else 2

    @property
    def entries(self) -> int:
        """N: attention weights of a pair."""
        return self.heads * self.frames

    @property
    def triangle(self) -> int:
        """T: entries of the upper triangle of a form."""
        return self.entries * (self.entries + 1) // 2

    @property
    def rows(self) -> int:
        """R: rows of the Gram table."""
        return 3 * (self.triangle + self.entries)


def upper_triangle(entries: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Row and column of every entry of the upper triangle, [T] each, and its weight, 2 off the diagonal."""
    i, j = np.triu_indices(entries)
    return i.astype(np.int64), j.astype(np.int64), np.where(i == j, 1.0, 2.0)


def blocks(videos: int) -> int:
    """How many blocks of tables hold ``videos`` videos."""
    return lanes.blocks(videos, LANES)


def pack_tables(tables: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Tables [V, R] as float32 blocks [ceil(V / 16), R, 16]; lanes beyond V are zero."""
    packed = np.zeros((blocks(len(tables)), tables.shape[1], LANES), np.float32)
    lanes.write_rows(packed, 0, tables)
    return packed
