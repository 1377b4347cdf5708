"""What a gallery and its searches take of a device's memory, computed from shapes. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..lanes import LANES, blocks

# Scores that a search holds at once: a larger gallery is searched in parts.
SCORES_AT_ONCE = 1 << 28
# Queries of the largest batch that a server searches with.
_QUERIES = 32
# A CUDA context, compiled kernels, and what torch's allocator rounds up.
RESERVED = 1 << 30


class NoRoom(ValueError):
    """A gallery that doesn't fit on a device.

    Attributes:
        videos: of the gallery.
        needed: bytes that it takes with its searches.
        room: bytes that were free.
    """

    def __init__(self, videos: int, needed: int, room: int) -> None:
        super().__init__(
            f"{videos:,} videos and their searches take {needed / 1e9:.1f} GB of the GPU, {max(0, room) / 1e9:.1f} GB "
            "are free"
        )
        self.videos, self.needed, self.room = videos, needed, room


def gallery_bytes(videos: int, shape: Sequence[int], rows: int, component: int) -> int:
    """Bytes of ``videos`` on a device.

    Args:
        shape: [S, F, D] of a video's frame vectors.
        rows: R of its Gram table, in float32.
        component: bytes of a frame vector's component.
    """
    return videos * prod(shape) * component + 4 * rows * LANES * blocks(videos, LANES)


def search_bytes(videos: int, queries: int = _QUERIES) -> int:
    """Bytes that a search of so many queries takes beside the gallery: scores, and a copy of parts of them."""
    return 2 * 4 * min(SCORES_AT_ONCE, queries * videos)
