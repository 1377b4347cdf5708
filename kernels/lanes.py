"""Rows that lie side by side in memory: [ceil(R / L), n, L] for R rows of n numbers in L lanes.

One vector load then takes the same number of L rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# How many videos' numbers the scans read side by side; csrc/vector.h says the same.
LANES = 16


def blocks(rows: int, lanes: int) -> int:
    """How many blocks of ``lanes`` rows hold ``rows`` rows."""
    return -(-rows // lanes)


def write_rows(packed: npt.NDArray[Any], start: int, rows: npt.NDArray[Any]) -> None:
    """Put ``rows`` [N, n] into ``packed`` [B, n, L] as the rows ``start`` to ``start + N``; others stay."""
    lanes = packed.shape[-1]
    done = 0
    while done < len(rows):
        block, lane = divmod(start + done, lanes)
        take = min(lanes - lane, len(rows) - done)
        packed[block, :, lane : lane + take] = rows[done : done + take].T
        done += take


def read_rows(packed: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """The rows of those numbers in ``packed`` [B, n, L], as [N, n]."""
    block, lane = np.divmod(rows, packed.shape[-1])
    found: npt.NDArray[Any] = packed[block, :, lane]
    return found
