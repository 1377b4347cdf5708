"""The float16 scores of a device without torch: its kernels, launched by the driver. Letters in shapes: ``layout``.

All scores of a device are of one compiled kernel for each regime of ``configs``, with removed rows told or not, so that
a pair has the same score to the bit in every search of as many queries.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..cuda.column import Scratch
from ..cuda.device import Array, Device, Kernel
from ..device.tile import FEW, GROUP, LONGEST, SHORTEST, SOME
from ..walk import Rows
from .building import selecting, source_of
from .layout import HeadShape
from .operands import Floats, TextVectors
from .plans import Plan, plan

# Below what ``keep.ordered`` makes of any number.
_LOWEST = np.iinfo(np.int32).min


class Asked(NamedTuple):
    """Texts on a device, and how they are scored."""

    how: Plan
    queries: int
    logit: Array
    readout: Array
    scalars: Array


class Scorer:
    """Scores float16 frame vectors on a device. Its kernels are compiled when they are first asked for."""

    def __init__(self, device: Device, shape: HeadShape, scratch: Scratch) -> None:
        self.device, self.shape, self._scratch = device, shape, scratch
        self._kernels: dict[Any, Kernel] = {}

    def prepare(self) -> None:
        """Compile and load everything, some seconds to minutes where the compiler's cache holds nothing."""
        for queries in (1, SOME, SOME + 1):
            self._kernel(self.plan(queries))
        for kept in (SHORTEST, LONGEST):
            self.selector(kept)

    def plan(self, queries: int) -> Plan:
        """How so many queries are scored."""
        return plan(self.shape, "float16", queries, self.device.arch)

    def ask(self, text: TextVectors) -> Asked:
        """Send texts in the form that the kernel of so many reads: see ``text.prepared``."""
        how = self.plan(len(text.logit))
        logit = self._scratch.sent("u", packed_text(text.logit, how.tile.parts))
        readout = self._scratch.sent("w", packed_text(text.readout, how.tile.parts))
        return Asked(how, len(text.logit), logit, readout, self._scratch.sent("tau", text.scalars))

    def score(self, asked: Asked, frames: int, tables: int, live: int, videos: int) -> tuple[Array, Array]:
        """Start scoring ``videos`` rows at addresses; scores float32 [Q, V], and the groups' largest [Q, V / 128]."""
        queries = asked.queries
        scores = self._scratch.array("scores", queries * videos, np.float32)
        largest = self.groups(queries, videos)
        how = asked.how
        self._kernel(how).launch(
            how.tile.grid(queries, videos)[0],
            *(asked.logit, asked.readout, asked.scalars, frames, tables, live, queries, videos, scores, largest),
        )
        return scores, largest

    def groups(self, queries: int, videos: int) -> Array:
        """Room for the largest scores of groups, which begin below all."""
        count = queries * -(-videos // GROUP)
        return self._scratch.sent("largest", np.full(count, _LOWEST, np.int32))

    def best(self, scores: Array, largest: Array, queries: int, videos: int, n: int) -> tuple[Floats, Rows]:
        """The ``n`` best of scores [Q, V], or all: scores and rows [Q, m], -inf and -1 where there is none."""
        n = min(n, videos)
        if n > LONGEST:
            found = scores.read((queries, videos))
            order = np.argsort(-found, axis=1, kind="stable")[:, :n]
            best = np.take_along_axis(found, order, 1)
            return best, np.where(best == -np.inf, -1, order)
        kept = SHORTEST if n <= SHORTEST else LONGEST
        top = self._scratch.array("top", queries * kept, np.float32)
        rows = self._scratch.array("rows", queries * kept, np.int32)
        self.selector(kept).launch(queries, scores, largest, videos, 0, top, rows)
        size = (queries, kept)
        return top.read(size)[:, :n], rows.read(size)[:, :n].astype(np.int64)

    def selector(self, kept: int) -> Kernel:
        """The kernel that keeps so many of each query."""
        if kept not in self._kernels:
            self._kernels[kept] = self.device.load(selecting(kept))
        return self._kernels[kept]

    def _kernel(self, how: Plan) -> Kernel:
        # Queries of a regime share its tile.
        key = how.tile
        if key not in self._kernels:
            self._kernels[key] = self.device.load(source_of(how, search=True, live=True))
        return self._kernels[key]

    @cached_property
    def ones(self) -> Array:
        """Of a piece of rescored rows: all of them count."""
        return self.device.sent(np.ones(PIECE, np.uint8))


# Rows that are rescored at once.
PIECE = 4096


def packed_text(vectors: Floats, parts: int) -> npt.NDArray[np.float16]:
    """Float16 [Q, D], or, with 2 ``parts``, [16 ceil(Q / 8), D] as ``text.pack_kernel`` makes it."""
    high = vectors.astype(np.float16)
    if parts == 1:
        return high
    queries, width = vectors.shape
    tiles = np.zeros((-(-queries // FEW), 2, FEW, width), np.float16)
    flat = np.zeros((2, len(tiles) * FEW, width), np.float16)
    flat[0, :queries] = high
    flat[1, :queries] = vectors - high.astype(np.float32)
    tiles[:] = flat.reshape(2, -1, FEW, width).swapaxes(0, 1)
    return tiles.reshape(-1, width)
