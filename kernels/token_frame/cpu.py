"""Mug-STAN's score on the CPU; ``reference`` is the definition and has the letters."""

from __future__ import annotations

from ..pairs import Array, PairsScan
from ..walk import Floats


def scan(words_QWD: Floats, frames_VFD: Array, tau: float) -> PairsScan:
    """The scan of texts and videos.

    Args:
        tau: sharpness of all softmaxes, above zero.

    Raises:
        ValueError: as ``PairsScan``.
    """
    return PairsScan("token_frame", {"text": words_QWD}, {"frame_vectors": frames_VFD}, sharpness=tau)
