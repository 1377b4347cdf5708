"""How many bytes the scorer must move, and how many operations it must do: the floor of every implementation."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernels.topk_attention.layout import LANES, HeadShape

FRAMES, WIDTH, TOP_K = 12, 512, 4
SHAPE = HeadShape(FRAMES, WIDTH, TOP_K)
# Bytes of a frame vector's component; those of one byte come with scales of frames, and a mean in 16 bits.
COMPONENT = {"float16": 2, "bfloat16": 2, "int8": 1, "float8_e4m3fn": 1}


@dataclass(frozen=True)
class Work:
    """Bytes that must be read or written, and floating-point operations, of scores of all queries and videos."""

    bytes: int
    operations: int

    def least_s(self, bandwidth: float, rate: float) -> float:
        """Seconds that it takes at ``bandwidth`` bytes and ``rate`` operations a second, whichever lasts longer."""
        return max(self.bytes / bandwidth, self.operations / rate)


def work(queries: int, videos: int, storage: str) -> Work:
    """The work of ``queries`` on a gallery of ``videos`` that is kept as ``storage``, a key of ``COMPONENT``."""
    return Work(stored(videos, storage) + 4 * queries * (2 * WIDTH + videos), 4 * FRAMES * WIDTH * queries * videos)


def stored(videos: int, storage: str) -> int:
    """Bytes of a gallery: frame vectors, and the tables, which lie side by side in blocks of ``LANES`` videos."""
    quantised = COMPONENT[storage] == 1
    rows = SHAPE.rows + FRAMES * quantised
    return videos * WIDTH * (FRAMES * COMPONENT[storage] + 2 * quantised) + 4 * rows * LANES * -(-videos // LANES)
