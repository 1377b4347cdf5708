"""Tiles of Triton kernels: what of its operands one program takes, and how programs are compiled and launched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Regime = Literal["few", "some", "many"]
# The portable kernel of a scorer, and those of topk_attention beside it: bulk_kernel, pingpong_kernel.
Kernel = Literal["portable", "bulk", "pingpong"]

# Videos of a group of a search: see ``select_kernel``.
GROUP = 128
# Queries of a program of ``keep_kernel``.
KEPT = 16
# The longest list that the select kernel keeps, and the shortest: one compilation serves every short one.
LONGEST, SHORTEST = 128, 16
# Groups that it looks at in a step, at most.
BLOCK = 1024
# Up to this many queries a video's frames are read once: 8 queries and what rounding cut off them, or 16 queries.
FEW, SOME = 8, 16


@dataclass(frozen=True)
class Tile:
    """The tile of one program."""

    parts: int
    """Rows of the products per vector of the text: 2 keeps float32 vectors as two 16-bit halves."""
    queries: int
    videos: int
    depth: int
    """Columns of the vectors per step."""
    warps: int
    """Of one group, where a program has several."""
    stages: int
    """Steps whose frames are in flight, or slots of the ring."""
    kernel: Kernel = "portable"

    @property
    def threads(self) -> int:
        return 32 * self.warps

    @property
    def ring(self) -> bool:
        """Whether the kernel is one of ``ring``, whose programs share the tiles."""
        return self.kernel == "pingpong"

    @property
    def alone(self) -> bool:
        """Whether a program is meant to have a multiprocessor to itself."""
        return self.ring or self.warps > 4

    def options(self) -> dict[str, Any]:
        """Compiler options. Epilogues count on fused multiply-adds, which the compiler doesn't promise by default."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}

    def constants(self, frames: int, width: int, columns: int) -> dict[str, Any]:
        """Values of compile-time parameters, of which each kernel takes those that it names.

        Args:
            columns: of a product; the step's depth is a power of two that divides them.
        """
        return {
            "F": frames,
            "CHUNKS": chunks(frames),
            "FRAMES": chunks(frames),
            "D": width,
            "PARTS": self.parts,
            "BQ": self.queries,
            "BV": self.videos,
            "BK": deepest(columns, self.depth),
            "STAGES": self.stages,
            "SLOTS": self.stages,
            "GROUP": GROUP,
        }

    def grid(self, queries: int, videos: int, processors: int = 1) -> tuple[int, ...]:
        """Programs for so many queries and videos; ``processors`` is how many multiprocessors the device has."""
        across, along = -(-queries // self.queries), -(-videos // self.videos)
        return (across, min(along, max(1, processors // across))) if self.ring else (across * along,)


def regime(queries: int) -> Regime:
    """How many queries are few: memory decides their time, the tensor cores that of many."""
    return "few" if queries <= FEW else "some" if queries <= SOME else "many"


def row_of(architectures: Iterable[int], arch: int) -> int:
    """Whose rows a device of compute capability ``arch`` (90 for 9.0) takes: its own, or those of the nearest below.

    Raises:
        ValueError: a device without the needed tensor cores.
    """
    below = [each for each in architectures if each <= arch]
    if not below:
        raise ValueError(f"the Triton kernels need compute capability 8.0 or newer, this device has {arch / 10:.1f}")
    return max(below)


def chunks(frames: int) -> tuple[int, ...]:
    """Powers of two that add up to ``frames``, largest first, none above 16."""
    whole, rest = divmod(frames, 16)
    return (16,) * whole + tuple(1 << bit for bit in (3, 2, 1, 0) if rest >> bit & 1)


def deepest(columns: int, depth: int) -> int:
    """Columns a step: the largest power of two up to ``depth`` that divides ``columns``, but not below 16."""
    return max(16, min(depth, columns & -columns))
