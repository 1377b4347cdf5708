"""What of a launch doesn't depend on the numbers of queries and videos: kernel, tile, parameters and constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import triton.language as tl  # type: ignore[import-untyped]

from ..device.boxes import box_type
from ..device.tile import Tile, chunks, deepest, regime
from .configs import OWN, Storage, row_of, tile
from .layout import HeadShape

_DOT: dict[Storage, tuple[str, Any]] = {
    "float16": ("fp16", tl.float16),
    "bfloat16": ("bf16", tl.bfloat16),
    "float32": ("fp32", tl.float32),
    "int8": ("fp16", tl.float16),
    "float8_e4m3fn": ("fp16", tl.float16),
}
_STORED: dict[Storage, str] = {
    "float16": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "int8": "i8",
    "float8_e4m3fn": "fp8e4nv",
}
_WIDEST_INT8 = 512


@dataclass(frozen=True)
class Plan:
    """Everything about a launch that doesn't depend on the numbers of queries and videos."""

    shape: HeadShape
    storage: Storage
    arch: int
    tile: Tile

    @property
    def text(self) -> str:
        """Element type of the text vectors U and W that the kernel reads."""
        return "i8" if self.parted else _DOT[self.storage][0]

    @property
    def quantised(self) -> bool:
        """Whether frames are residuals with scales and a mean."""
        return self.storage in ("int8", "float8_e4m3fn")

    @property
    def parted(self) -> bool:
        """Whether the text is multiplied as int8 parts."""
        return self.tile.ring and self.storage == "int8"

    @property
    def kept_apart(self) -> bool:
        """Whether a kernel of its own keeps the largest scores of groups: with them this one would spill registers."""
        return self.parted

    @property
    def stored(self) -> str:
        """Element type of the frames that the kernel reads: e4m3 as bytes where the device can't convert it."""
        return "u8" if self.storage == "float8_e4m3fn" and self.arch < 89 else _STORED[self.storage]

    @property
    def boxes(self) -> tuple[list[int], list[int], list[int] | None]:
        """Boxes of the descriptors: of text, of the first chunk of frames, and of the others if they are smaller."""
        tile, sizes = self.tile, chunks(self.shape.frames)
        frames = [[size, tile.videos, self.depth] for size in sorted({*sizes}, reverse=True)]
        return [tile.queries * tile.parts, self.depth], frames[0], frames[1] if len(frames) > 1 else None

    @property
    def depth(self) -> int:
        """Columns per step: a power of two that divides a head's columns, but not below the 16 that a product needs."""
        return deepest(self.shape.width // self.shape.heads, self.tile.depth)

    def parameters(self, search: bool = False, live: bool = False) -> list[tuple[str, str]]:
        """Name and type of the kernel's parameters in the order of its PTX; pointers start with ``*``.

        What the kernel has beside them is None. Compiled code has two pointers more, of scratch memory that these
        kernels don't use: null.
        """
        if self.tile.kernel == "portable":
            inputs = [("U", f"*{self.text}"), ("W", f"*{self.text}"), ("TAU", "*fp32"), ("X", f"*{self.stored}")]
            inputs += [("TABLE", "*fp32")] + [("MEAN", "*fp16")] * self.quantised
        else:
            text, first, other = self.boxes
            told = self._descriptor(self.text, text)
            inputs = [("U", told), ("W", told), ("TAU", "*fp32")] + [("UNITS", "*fp32")] * self.parted
            inputs += [("X", self._descriptor(self.stored, first))]
            inputs += [("Y", self._descriptor(self.stored, other))] if other else []
            inputs += [("TABLE", "*fp32")]
        sizes = [("Q", "i32"), ("V", "i32")] + [("TILES", "i32")] * self.tile.ring
        keeps = not self.kept_apart
        largest, alive = [("LARGEST", "*i32")] * (search and keeps), [("LIVE", "*u8")] * (live and keeps)
        return [*inputs, *alive, *sizes, ("OUT", "*fp32"), *largest]

    def constants(self) -> dict[str, Any]:
        """Values of the compile-time parameters of all kernels: each takes those that it names."""
        shape = self.shape
        return self.tile.constants(shape.frames, shape.width, shape.width // shape.heads) | {
            "K": shape.top_k,
            "H": shape.heads,
            "QUANTISED": self.quantised,
            "DOT": _DOT[self.storage][1],
            "PRECISION": "tf32x3" if self.storage == "float32" else "ieee",
        }

    def _descriptor(self, element: str, box: list[int]) -> str:
        if self.tile.ring:
            return box_type(element, box)
        return f"tensordesc<{element}[{', '.join(map(str, box))}]>"


def fits(chosen: Tile, shape: HeadShape, storage: Storage) -> bool:
    """Whether a tile's kernel takes such heads and frames."""
    sizes, whole = chunks(shape.frames), shape.width % chosen.depth == 0
    if chosen.kernel == "bulk":
        return shape.heads == 1 and whole and storage in ("float16", "bfloat16") and len({*sizes}) <= 2
    if chosen.ring:
        # what the shared memory and the registers of a Hopper GPU hold, and sums of int8 products within int32
        small = shape.width <= _WIDEST_INT8 and shape.frames <= 12 and len(sizes) == 2
        return shape.heads == 1 and whole and storage in ("float16", "int8") and small
    return True


def plan(shape: HeadShape, storage: Storage, queries: int, arch: int) -> Plan:
    """The plan for ``queries`` queries on a device of compute capability ``arch``, such as 90.

    Raises:
        ValueError: a device that the kernels don't run on.
    """
    own = OWN.get((row_of(arch), regime(queries), storage))
    if own is not None and fits(own, shape, storage):
        return Plan(shape, storage, arch, own)
    return Plan(shape, storage, arch, tile(arch, queries, storage))
