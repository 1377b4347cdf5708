"""Dot products on the CPU; ``reference`` is the definition."""

from __future__ import annotations

from ..pairs import Array, PairsScan
from ..walk import Floats


def scan(text_QD: Floats, video_VD: Array) -> PairsScan:
    """The scan of texts [Q, D] and videos [V, D].

    Raises:
        ValueError: as ``PairsScan``.
    """
    return PairsScan("dot", {"text": text_QD[:, None]}, {"frame_vectors": video_VD[:, None]})
