"""Boxes of a gallery and of text vectors, as the bulk copy engine brings them for Gluon's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def box_layout(element: str, rank: int) -> Any:
    """How a box of a whole cache line's columns lies in shared memory, as Gluon's descriptors want it."""
    from triton.experimental.gluon import language as gl  # type: ignore[import-untyped]

    return gl.NVMMASharedLayout(128, 8 if element == "i8" else 16, rank=rank)


def box_type(element: str, box: Sequence[int]) -> str:
    """The type of a parameter that is a descriptor of such boxes."""
    return f"tensordesc<{element}[{', '.join(map(str, box))}],{box_layout(element, len(box))!r}>"


def in_boxes(element: str, tensor: Any, shape: Sequence[int], strides: Sequence[int], box: Sequence[int]) -> Any:
    """A descriptor of ``tensor``, seen so, in boxes."""
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor  # type: ignore[import-untyped]

    return TensorDescriptor(tensor, list(shape), list(strides), list(box), box_layout(element, len(box)))
