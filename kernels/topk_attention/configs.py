"""Tiles of the Triton kernels: one row per architecture, number of queries and size of a component.

Rows were chosen from compiled code: no spilled registers, 16-byte asynchronous copies, as many programs on a
multiprocessor as its registers and shared memory allow. On an H200 steps of whole cache lines, 128 bytes, were a fifth
faster than halves for float16 and up to 16 queries (``bench/results``), so 9.0 has lines, in tiles that spill nothing.
"""

from __future__ import annotations

from typing import Literal

from ..device.tile import Regime, Tile, regime
from ..device.tile import row_of as nearest

Storage = Literal["float16", "bfloat16", "float32", "int8", "float8_e4m3fn"]
Key = tuple[int, Regime]

# 100 KiB of shared memory a multiprocessor: fewer stages leave room for more programs.
_FEW = Tile(2, 8, 16, 32, 2, 2)
_SOME = Tile(1, 16, 32, 32, 4, 2)
_MANY = Tile(1, 64, 8, 32, 4, 3)
# float32 products are three TF32 products each.
_SINGLE = Tile(1, 16, 32, 16, 4, 2)

TILES: dict[Key, Tile] = {
    (80, "few"): Tile(2, 8, 16, 32, 2, 3),
    (80, "some"): Tile(1, 16, 32, 32, 4, 3),
    (80, "many"): _MANY,
    (86, "few"): _FEW,
    (86, "some"): _SOME,
    (86, "many"): _MANY,
    (89, "few"): _FEW,
    (89, "some"): _SOME,
    (89, "many"): _MANY,
    (90, "few"): Tile(2, 8, 16, 64, 4, 3),
    (90, "some"): Tile(1, 16, 16, 64, 4, 3),
    (90, "many"): Tile(1, 64, 8, 32, 4, 4),
    (100, "few"): Tile(2, 8, 16, 64, 4, 3),
    (100, "some"): Tile(1, 16, 16, 64, 4, 3),
    (100, "many"): Tile(1, 64, 8, 32, 4, 3),
    (120, "few"): _FEW,
    (120, "some"): _SOME,
    (120, "many"): _MANY,
}
# Where components of one byte have tiles of their own.
BYTES: dict[Key, Tile] = {
    (90, "few"): Tile(2, 8, 16, 128, 4, 2),
    (90, "some"): Tile(1, 16, 16, 128, 4, 2),
    (100, "few"): Tile(2, 8, 16, 128, 4, 2),
    (100, "some"): Tile(1, 16, 16, 128, 4, 2),
}
ARCHITECTURES = tuple(sorted({arch for arch, _ in TILES}))

# Rows that were never run on a GPU, or not timed: `framesift bench gpu` compares them with float64, times them beside
# the others, and prints the line that would take one.
CANDIDATES: dict[tuple[int, Regime, Storage], tuple[Tile, ...]] = {
    (90, "few", "float16"): (
        Tile(2, 8, 16, 64, 4, 3, "bulk"),
        Tile(2, 8, 16, 128, 4, 2, "bulk"),
        Tile(2, 8, 16, 128, 4, 2),
    ),
    (90, "some", "float16"): (
        Tile(1, 16, 16, 64, 4, 3, "bulk"),
        Tile(1, 16, 16, 128, 4, 3, "bulk"),
        Tile(1, 16, 16, 128, 4, 2),
    ),
    (90, "many", "float16"): (
        Tile(1, 64, 8, 64, 4, 7, "pingpong"),
        Tile(1, 64, 16, 64, 8, 4),
        Tile(1, 128, 8, 64, 8, 4),
        Tile(1, 64, 8, 64, 4, 2),
    ),
    (90, "many", "int8"): (Tile(1, 64, 8, 128, 4, 8, "pingpong"),),
}

# Rows for an architecture's own means, taken before those of TILES where they fit. A candidate comes here once it was
# measured: none has been.
OWN: dict[tuple[int, Regime, Storage], Tile] = {}


def row_of(arch: int) -> int:
    """Whose rows a device of compute capability ``arch`` (90 for 9.0) takes: its own, or those of the nearest below.

    Raises:
        ValueError: a device without the needed tensor cores.
    """
    return nearest(ARCHITECTURES, arch)


def tile(arch: int, queries: int, storage: Storage) -> Tile:
    """The portable kernel's tile, which any shape fits.

    Raises:
        ValueError: a device without the needed tensor cores.
    """
    key = row_of(arch), regime(queries)
    if storage == "float32":
        return _SINGLE
    return BYTES.get(key, TILES[key]) if storage in ("int8", "float8_e4m3fn") else TILES[key]
