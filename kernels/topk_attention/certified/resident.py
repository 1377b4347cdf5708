"""The certified search of a device: int8 steps stay there, and few videos' float16 frames come from memory.

What it finds is to the bit what ``resident.Float16`` finds on this device: rows, order and scores. A video is left out
where ``bound_kernel`` proves that its float16 score is below that of n others; all others are scored by the very kernel
that scores a resident float16 gallery.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ...cuda.code import Source as Compiled
from ...cuda.column import Column
from ...cuda.device import Array, Device, Kernel
from ...cuda.share import Share
from ...device.tile import GROUP, Tile, deepest
from ...lanes import read_rows
from ...walk import Live, Rows
from ..biases import Biases
from ..layout import LANES, HeadShape, blocks
from ..merging import best_of
from ..operands import Floats, TextVectors
from ..resident import Best, Resident, Source
from ..scoring import PIECE, Asked
from . import device_columns as of
from .device_rounding import queries as told_of_queries
from .device_rounding import videos as told_of_videos
from .memory import LEAD, LEFT, PAIRS, search_bytes

# Where more than every so-manieth video is asked for, bounds leave too many.
_SHARE = 4
# Of products with frames, which are many to a video, and of bounds.
_PRODUCTS, _BOUNDS = Tile(1, 8, 128, 128, 4, 3), Tile(1, 1, 4, 16, 8, 1)
# Columns of a step of int8 products, at least.
_DEEP = 32


class Certified(Resident):
    """Steps, what bounds need to know of them, and Gram tables."""

    def __init__(
        self, device: Device, shape: HeadShape, share: Share, biases: Biases, room: Callable[[], int] | None = None
    ) -> None:
        """As ``Resident``.

        Raises:
            ValueError: a scorer of several heads.
        """
        super().__init__(device, shape, share, room)
        if shape.heads > 1:
            raise ValueError(f"int8 steps serve one head, not {shape.heads}: search in float16")
        self._biases = biases
        self._steps = Column(device, (shape.frames + 1, shape.width), np.int8)
        self._side = Column(device, (2 * shape.frames + of.VIDEO_ROWS,), np.float32, LANES)
        self._tables = Column(device, (shape.rows,), np.float32, LANES)
        self.columns = (self._steps, self._side, self._tables)
        self._own: dict[str, Kernel] = {}
        self._staged: tuple[npt.NDArray[np.float16], Floats] | None = None

    def prepare(self) -> None:
        """As ``Resident.prepare``."""
        super().prepare()
        for name in ("products", "scores", "left"):
            self._kernel(name)

    def send(self, own: int, source: Source, part: slice) -> None:
        """As ``Resident.send``."""
        assert source.steps is not None
        packed = slice(part.start // LANES, blocks(part.stop))
        # 128 stands for zero.
        self._steps.put(own, (source.steps.steps[part] ^ np.uint8(128)).view(np.int8))
        tables, side = source.gallery.tables[packed], source.steps.side[packed]
        told = told_of_videos(_rows(side), _rows(tables), self.shape, self._biases)
        self._side.put(own, np.ascontiguousarray(told.reshape(-1, LANES, told.shape[1]).swapaxes(1, 2)))
        self._tables.put(own, tables)

    def search_bytes(self, rows: int) -> int:
        """As ``Resident.search_bytes``."""
        return search_bytes(rows, self.shape)

    def search(self, text: TextVectors, source: Source, n: int, live: Live | None) -> Best:
        """As ``Resident.search``; ``source`` is the gallery that was followed last."""
        self.device.use()
        search = _Search(self, self.scorer.ask(text), source, n)
        alive = self.live(live)
        kappa = np.float32(self._biases.kappa)
        if n * _SHARE > int(alive.sum()) or (text.scalars[:, 3] != kappa).any():
            search.rescore(np.flatnonzero(alive))
            return search.best()
        u, w, told = told_of_queries(text, search.asked.how.tile.parts, self.shape, self._biases)
        asked = [self.scratch.sent("asked u", u), self.scratch.sent("asked w", w), self.scratch.sent("asked", told)]
        counted = self.scratch.sent("live", alive.view(np.uint8))
        most = max(GROUP, PAIRS // search.asked.queries // GROUP * GROUP)
        start = 0
        while start < self._rows:
            count = min(LEAD if start == 0 else most, most, self._rows - start)
            self._piece(search, asked, counted, alive, start, count)
            start += count
        return search.best()

    def _piece(self, search: _Search, asked: list[Array], counted: Array, alive: Live, start: int, count: int) -> None:
        """Score what of some rows may be among the best."""
        queries, entries = search.asked.queries, self.shape.frames + 1
        products = [self.scratch.array(name, queries * count * entries, np.int32) for name in ("l", "s")]
        tiles = _PRODUCTS.grid(queries, count * entries)[0]
        self._kernel("products").launch(
            tiles, asked[0], asked[1], self._steps.at(start), queries, count * entries, *products
        )
        tiles = _BOUNDS.grid(queries, count)[0]
        where = (asked[2], self._side.at(start), self._tables.at(start), counted.at(start))
        if not (search.least >= 0).all():
            scores = self.scratch.array("scores", queries * count, np.float32)
            largest = self.scorer.groups(queries, count)
            self._kernel("scores").launch(tiles, *products, *where, queries, count, scores, largest)
            rows = self.scorer.best(scores, largest, queries, count, min(search.n, count))[1]
            search.rescore(np.unique(rows[rows >= 0]) + start)
        theta = self.scratch.sent("theta", search.least)
        number = self.scratch.sent("count", np.zeros(1, np.int32))
        room = self.scratch.array("left", LEFT, np.int32)
        self._kernel("left").launch(tiles, *products, *where, theta, queries, count, LEFT, number, room)
        left = int(number.read()[0])
        rows = np.flatnonzero(alive[start : start + count]) if left > LEFT else np.unique(room.read((left,)))
        search.rescore(rows + start)

    def staged(self) -> tuple[npt.NDArray[np.float16], Floats]:
        """Room for rows to rescore in memory that the device reads at once."""
        if self._staged is None:
            frames = (PIECE, self.shape.streams, self.shape.frames, self.shape.width)
            self._staged = (
                self.device.pinned(frames, np.float16),
                self.device.pinned((PIECE // LANES, self.shape.rows, LANES), np.float32),
            )
        return self._staged

    def _kernel(self, name: str) -> Kernel:
        if name not in self._own:
            self._own[name] = self.device.load(source_of(name, self.shape))
        return self._own[name]


class _Search:
    """The best of one search so far. ``least`` float64 [Q] are the thresholds, -inf before n videos are known."""

    def __init__(self, of: Certified, asked: Asked, source: Source, n: int) -> None:
        self._of, self.asked, self._source, self.n = of, asked, source, n
        self._known = np.zeros(len(of), np.bool_)
        self._best: tuple[Floats, Rows] = best_of([], asked.queries, n)
        self.least = np.full(asked.queries, -np.inf)

    def rescore(self, own: npt.NDArray[np.int64]) -> None:
        """Score those of the share's rows that were not."""
        left = own[~self._known[own]]
        self._known[left] = True
        for start in range(0, len(left), PIECE):
            some = left[start : start + PIECE]
            rows = self._of.share.rows(some)
            found = self._scores(rows)
            # What is not a number is no score.
            found[np.isnan(found)] = -np.inf
            self._best = best_of([self._best, (found, np.broadcast_to(rows, found.shape))], len(found), self.n)
            if self._best[0].shape[1] == self.n:
                self.least = self._best[0][:, -1].astype(np.float64)

    def best(self) -> Best:
        """What was found."""
        return Best(*self._best, int(self._known.sum()))

    def _scores(self, rows: Rows) -> Floats:
        """Float16 scores [Q, n] of rows of the gallery."""
        frames, tables = self._of.staged()
        count, gallery, scorer = len(rows), self._source.gallery, self._of.scorer
        np.take(gallery.frames, rows, axis=0, out=frames[:count])
        packed = tables[: blocks(count)]
        _pack(read_rows(gallery.tables, rows), packed)
        sent = [self._of.scratch.sent(name, part) for name, part in (("frames", frames[:count]), ("tables", packed))]
        scores, _ = scorer.score(self.asked, sent[0].pointer, sent[1].pointer, scorer.ones.pointer, count)
        return scores.read((self.asked.queries, count))


def _rows(packed: Floats) -> Floats:
    """Blocks [B, n, 16] as rows [16 B, n]."""
    return packed.swapaxes(1, 2).reshape(-1, packed.shape[1])


def _pack(tables: Floats, packed: Floats) -> None:
    """Tables [n, R] into blocks [ceil(n / 16), R, 16]."""
    whole = len(tables) // LANES
    packed[:whole] = tables[: whole * LANES].reshape(whole, LANES, tables.shape[1]).swapaxes(1, 2)
    if rest := len(tables) - whole * LANES:
        packed[whole] = 0
        packed[whole, :, :rest] = tables[whole * LANES :].T


def source_of(name: str, shape: HeadShape) -> Compiled:
    """A kernel of the search beside those that score: ``products``, ``scores`` of steps, or what is ``left``."""
    if name == "products":
        from .products_kernel import products_kernel

        types = {"U": "*i8", "W": "*i8", "X": "*i8", "Q": "i32", "N": "i32", "L": "*i32", "S": "*i32"}
        depth = max(_DEEP, deepest(shape.width, _PRODUCTS.depth))
        tile = {"D": shape.width, "BN": _PRODUCTS.videos, "BK": depth}
        return Compiled(products_kernel, types, tile, _PRODUCTS.options())
    from .bound_kernel import bound_kernel

    given = {"L": "*i32", "S": "*i32", "ASKED": "*fp64", "SIDE": "*fp32", "TABLE": "*fp32", "LIVE": "*u8"}
    sizes = {"Q": "i32", "V": "i32"}
    if name == "scores":
        types = given | sizes | {"OUT": "*fp32", "LARGEST": "*i32"}
    else:
        types = given | {"THETA": "*fp64"} | sizes | {"ROOM": "i32", "COUNT": "*i32", "LEFT": "*i32"}
    padded = max(2, 1 << (shape.frames - 1).bit_length())
    constants = {"F": shape.frames, "P": padded, "K": shape.top_k, "BV": _BOUNDS.videos, "GROUP": GROUP}
    return Compiled(bound_kernel, types, constants, _BOUNDS.options())
