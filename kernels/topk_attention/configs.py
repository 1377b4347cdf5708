"""Launch configurations of the Triton kernels: one row per architecture, number of queries and storage.

The rows were chosen from compiled code: no spilled registers, 16-byte asynchronous copies, as many programs on a
multiprocessor as its registers and shared memory allow. Those for 9.0 were timed on an H200 (``bench/results``): steps
of 64 columns were a fifth faster there for up to 16 queries, and spill 16 to 24 bytes, so they wait for a second look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Regime = Literal["few", "some", "many"]
Storage = Literal["float16", "bfloat16", "float32", "int8", "float8_e4m3fn"]

# Up to this many queries a video's frames are read once: 8 queries and what rounding cut off them, or 16 queries.
FEW, SOME = 8, 16


@dataclass(frozen=True)
class Tile:
    """The tile of one program."""

    parts: int
    """Rows of the products per query: 2 keeps float32 text vectors as two 16-bit halves."""
    queries: int
    videos: int
    depth: int
    """Columns of the vectors per step."""
    warps: int
    stages: int

    @property
    def threads(self) -> int:
        return 32 * self.warps


# 100 KiB of shared memory a multiprocessor: fewer stages leave room for more programs.
_FEW = Tile(2, 8, 16, 32, 2, 2)
_SOME = Tile(1, 16, 32, 32, 4, 2)
_MANY = Tile(1, 64, 8, 32, 4, 3)
# float32 products are three TF32 products each.
_SINGLE = Tile(1, 16, 32, 16, 4, 2)

TILES: dict[tuple[int, Regime], Tile] = {
    (80, "few"): Tile(2, 8, 16, 32, 2, 3),
    (80, "some"): Tile(1, 16, 32, 32, 4, 3),
    (80, "many"): _MANY,
    (86, "few"): _FEW,
    (86, "some"): _SOME,
    (86, "many"): _MANY,
    (89, "few"): _FEW,
    (89, "some"): _SOME,
    (89, "many"): _MANY,
    (90, "few"): Tile(2, 8, 16, 32, 2, 3),
    (90, "some"): Tile(1, 16, 32, 32, 4, 4),
    (90, "many"): Tile(1, 64, 8, 32, 4, 4),
    (100, "few"): Tile(2, 8, 16, 32, 2, 3),
    (100, "some"): Tile(1, 16, 32, 32, 4, 4),
    (100, "many"): Tile(1, 64, 8, 32, 4, 3),
    (120, "few"): _FEW,
    (120, "some"): _SOME,
    (120, "many"): _MANY,
}
ARCHITECTURES = tuple(sorted({arch for arch, _ in TILES}))


def regime(queries: int) -> Regime:
    """How many queries are few: memory decides their time, the tensor cores that of many."""
    return "few" if queries <= FEW else "some" if queries <= SOME else "many"


def tile(arch: int, queries: int, storage: Storage) -> Tile:
    """The tile for a device of compute capability ``arch`` (90 for 9.0), or of the nearest below that has a row.

    Raises:
        ValueError: a device without the needed tensor cores.
    """
    if arch < ARCHITECTURES[0]:
        raise ValueError(f"the Triton kernels need compute capability 8.0 or newer, this device has {arch / 10:.1f}")
    if storage == "float32":
        return _SINGLE
    return TILES[max(a for a in ARCHITECTURES if a <= arch), regime(queries)]
