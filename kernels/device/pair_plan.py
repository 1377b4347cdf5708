"""Tiles and constants of the Triton kernels of the scorers of plain vectors: ``dot`` and those of frames and words.

Rows were chosen from shapes: steps of whole cache lines where shared memory allows, at least two programs on a
multiprocessor, products of 64 rows or more for many queries. None has been timed. Letters: F frames, D width, W words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from .boxes import box_type
from .tile import Regime, Tile, chunks, regime, row_of

# multi_grained has two kernels: one reads whole videos, the other their frames.
Name = Literal["dot", "frame_softmax", "token_frame", "multi_grained", "whole_video"]
# Of texts of words so many are few: their rows of both halves fill a tensor-core tile.
FEW_TEXTS = 2
# Words of a text and frames of a video that the tiles below are for; others have as many rows and columns.
WORDS, FRAMES = 32, 12
OF_WORDS: tuple[Name, ...] = ("token_frame", "multi_grained", "whole_video")
OF_FRAMES: tuple[Name, ...] = ("frame_softmax", "token_frame", "multi_grained")
# Columns of a product, at least, and rows of it that a text has, at least.
_COLUMNS, _ROWS = 8, 16
# The widest vectors of which 128 fit into shared memory.
_RING = 512

# GPUs with 100 KiB of shared memory a multiprocessor, or with as much for 80.
_SMALL: dict[tuple[Name, Regime], Tile] = {
    ("dot", "few"): Tile(2, 8, 64, 64, 4, 3),
    ("dot", "some"): Tile(1, 16, 64, 64, 4, 3),
    ("dot", "many"): Tile(1, 64, 64, 64, 4, 3),
    ("frame_softmax", "few"): Tile(2, 8, 16, 32, 4, 3),
    ("frame_softmax", "some"): Tile(1, 16, 16, 32, 4, 3),
    ("frame_softmax", "many"): Tile(1, 64, 8, 32, 4, 3),
    ("token_frame", "few"): Tile(2, 1, 8, 32, 4, 3),
    ("token_frame", "many"): Tile(1, 4, 8, 32, 4, 3),
    ("multi_grained", "few"): Tile(2, 1, 8, 32, 4, 3),
    ("multi_grained", "many"): Tile(2, 1, 8, 32, 4, 3),
    ("whole_video", "few"): Tile(2, 1, 32, 32, 4, 3),
    ("whole_video", "many"): Tile(1, 2, 32, 32, 4, 3),
}
_LARGE: dict[tuple[Name, Regime], Tile] = {
    ("dot", "few"): Tile(2, 8, 128, 64, 4, 3),
    ("dot", "some"): Tile(1, 16, 128, 64, 4, 3),
    ("dot", "many"): Tile(1, 128, 64, 64, 8, 3),
    ("frame_softmax", "few"): Tile(2, 8, 16, 64, 4, 3),
    ("frame_softmax", "some"): Tile(1, 16, 16, 64, 4, 3),
    ("frame_softmax", "many"): Tile(1, 64, 16, 64, 4, 3),
    ("token_frame", "few"): Tile(2, 1, 16, 64, 4, 3),
    ("token_frame", "many"): Tile(1, 4, 8, 64, 4, 3),
    ("multi_grained", "few"): Tile(2, 1, 8, 64, 4, 3),
    ("multi_grained", "many"): Tile(2, 1, 8, 64, 4, 3),
    ("whole_video", "few"): Tile(2, 1, 64, 64, 4, 3),
    ("whole_video", "many"): Tile(1, 2, 64, 64, 4, 3),
}
# A thread has a whole row of 128 in tensor memory, and half of one of 64.
_TENSOR_MEMORY: dict[tuple[Name, Regime], Tile] = {
    **_LARGE,
    ("token_frame", "many"): Tile(1, 2, 8, 64, 4, 3),
}
PAIR_TILES = {80: _SMALL, 90: _LARGE, 100: _TENSOR_MEMORY, 120: _SMALL}
# Rows that were never run on a GPU, and those that were measured, which are taken where they fit: none has been.
PAIR_CANDIDATES: dict[tuple[int, Name, Regime], tuple[Tile, ...]] = {
    (90, "token_frame", "many"): (Tile(1, 4, 8, 64, 4, 7, "pingpong"), Tile(1, 8, 8, 64, 8, 4)),
}
PAIR_OWN: dict[tuple[int, Name, Regime], Tile] = {}
# Types of the kernels' parameters, by name; the others are constants.
TYPES = {
    **dict.fromkeys(("TEXT", "FOLDED", "SENTENCE", "X", "MASK"), "*fp16"),
    **dict.fromkeys(("UNIT", "FRAME_LOGIT", "FRAME_MAT", "FRAME_MAT2", "WORD_MAT2", "OUT"), "*fp32"),
    **dict.fromkeys(("SHARPNESS", "SCALE"), "fp32"),
    **dict.fromkeys(("Q", "V", "TILES"), "i32"),
    "LIVE": "*u8",
    "LARGEST": "*i32",
}


@dataclass(frozen=True)
class PairPlan:
    """Everything about a launch that doesn't depend on the numbers of queries and videos.

    Attributes:
        frames: vectors of a video that the kernel reads.
        words: vectors of a text that count.
    """

    name: Name
    frames: int
    width: int
    words: int
    arch: int
    tile: Tile

    def types(self, arguments: list[str], search: bool = False) -> dict[str, str]:
        """Name and type of a kernel's parameters among its ``arguments``, in their order; the others are None."""
        left_out = {"LIVE"} | (set() if search else {"LARGEST"})
        types = TYPES | ({name: box_type("fp16", box) for name, box in self.boxes.items()} if self.tile.ring else {})
        return {name: types[name] for name in arguments if name in types and name not in left_out}

    @property
    def boxes(self) -> dict[str, list[int]]:
        """Boxes of the ring kernel's descriptors, of 16 words of each text and of frames."""
        text, (first, other) = [_ROWS * self.tile.queries, self.tile.depth], chunks(self.frames)
        frames = {"X": [first, self.tile.videos, self.tile.depth], "Y": [other, self.tile.videos, self.tile.depth]}
        return {"U": text, "W": text, **frames}

    @property
    def rows(self) -> int:
        """Of a product."""
        return self.tile.parts * self.tile.queries * (padded(self.words) if self.name in OF_WORDS else 1)

    def constants(self) -> dict[str, Any]:
        """Values of the compile-time parameters: each kernel takes those that it names."""
        return self.tile.constants(self.frames, self.width, self.width) | {
            "WORDS": self.words,
            "W": padded(self.words),
        }


def padded(words: int) -> int:
    """Rows of a product that a text of so many words takes."""
    return max(_ROWS, 1 << (words - 1).bit_length())


def regime_of(name: Name, queries: int) -> Regime:
    """As ``tile.regime``, where a text may be many vectors."""
    if name in OF_WORDS:
        return "few" if queries <= FEW_TEXTS else "many"
    return regime(queries)


def pair_plan(name: Name, frames: int, width: int, words: int, queries: int, arch: int) -> PairPlan:
    """The plan for ``queries`` texts on a device of compute capability ``arch``, such as 90.

    Raises:
        ValueError: a device that the kernels don't run on.
    """
    row, which = row_of(PAIR_TILES, arch), regime_of(name, queries)
    own = PAIR_OWN.get((row, name, which))
    if own is not None and _fits(own, frames, width, padded(words)):
        return PairPlan(name, frames, width, words, arch, own)
    chosen = PAIR_TILES[row][name, which]
    return PairPlan(name, frames, width, words, arch, _fitted(chosen, name, frames, padded(words)))


def _fits(own: Tile, frames: int, width: int, rows: int) -> bool:
    """Whether a measured tile takes such records: those that it was measured with, or what a ring's memory holds."""
    if not own.ring:
        return frames <= FRAMES and rows <= WORDS
    return rows == WORDS and frames <= FRAMES and len(chunks(frames)) == 2 and width <= _RING and width % own.depth == 0


def _fitted(tile: Tile, name: Name, frames: int, rows: int) -> Tile:
    """The tile with as many rows and columns for other numbers of words and frames, as far as products go."""
    usual, held = WORDS if name in OF_WORDS else 1, FRAMES if name in OF_FRAMES else 1
    rows = rows if name in OF_WORDS else 1
    most = tile.parts * usual * tile.queries * held * tile.videos
    parts, queries, videos = tile.parts, max(1, usual * tile.queries // rows), tile.videos
    while parts * rows * queries * frames * videos > most and videos > _COLUMNS:
        videos //= 2
    while parts * rows * queries * frames * videos > most and queries > 1 and parts * rows * queries > _ROWS:
        queries //= 2
    # The parts of multi_grained are words and folded words, not halves.
    if parts * rows * queries * frames * videos > most and rows * queries >= _ROWS and name != "multi_grained":
        parts = 1
    return replace(tile, parts=parts, queries=queries, videos=videos)
