"""What int8 steps and their searches take of a device, computed from shapes."""

from __future__ import annotations

from ..layout import LANES, HeadShape, blocks
from .device_columns import VIDEO_ROWS

# Pairs whose products are held at once, and rows that are looked at first, so that others meet a threshold.
PAIRS, LEAD = 1 << 22, 1 << 16
# Videos that a piece may leave before all of it is scored.
LEFT = 1 << 20
# Rows whose float16 frames are on the device at once, to be scored.
_RESCORED = 4096
# Queries of the largest batch that a server searches with.
_QUERIES = 32


def row_bytes(shape: HeadShape) -> int:
    """Bytes of a video: steps of its frames and their mean, what bounds need, and its Gram table."""
    return (shape.frames + 1) * shape.width + 4 * (2 * shape.frames + VIDEO_ROWS + shape.rows)


def gallery_bytes(videos: int, shape: HeadShape) -> int:
    """Bytes of so many videos; what is beside their steps lies in blocks of 16."""
    beside = 4 * (2 * shape.frames + VIDEO_ROWS + shape.rows)
    return videos * (shape.frames + 1) * shape.width + beside * LANES * blocks(videos)


def search_bytes(videos: int, shape: HeadShape) -> int:
    """Bytes that a search takes beside the gallery: products and scores of a piece, and what is scored in float16."""
    pairs = min(PAIRS, _QUERIES * videos)
    scored = _RESCORED * (2 * shape.frames * shape.width + 4 * (shape.rows + _QUERIES))
    return pairs * (8 * (shape.frames + 1) + 4) + scored + 4 * LEFT + videos
