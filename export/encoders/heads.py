"""How many heads a layer's attention has."""

from __future__ import annotations

# Of all towers whose weights don't show it.
HEAD_WIDTH = 64


def usual_heads(width: int) -> int:
    """The attention heads of a layer of that width, where nothing shows them."""
    return max(1, width // HEAD_WIDTH)


def heads_of(width: int, heads: int | None) -> int:
    """The heads that were given, or the usual ones.

    Raises:
        ValueError: they don't divide the width.
    """
    heads = heads or usual_heads(width)
    if width % heads:
        raise ValueError(f"{heads} heads don't divide the width {width}")
    return heads
