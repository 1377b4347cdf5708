"""TS2-Net's score on the CPU; ``reference`` is the definition and has the letters."""

from __future__ import annotations

import numpy as np

from ..pairs import Array, PairsScan
from ..walk import Floats

# ``reference`` says the same, in torch.
SHARPNESS = 4.0


def scan(text_QD: Floats, frames_VFD: Array, mask_VF: Array) -> PairsScan:
    """The scan of texts and videos; a video of which no frame counts scores -inf.

    Raises:
        ValueError: as ``PairsScan``.
    """
    records = {"frame_vectors": frames_VFD, "mask": mask_VF}
    return PairsScan("frame_softmax", {"text": text_QD[:, None]}, records, sharpness=SHARPNESS)


def weights(text_D: Floats, frames_VFD: Array, mask_VF: Array) -> Floats:
    """One text's weights float32 [V, F] of the frames of a few videos, each row of which sums to 1."""
    counts = mask_VF != 0
    masked = (frames_VFD.astype(np.float32) @ text_D) * mask_VF.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        sharp = SHARPNESS * masked / np.linalg.norm(masked, axis=1, keepdims=True)
    powers = np.where(counts, np.exp(sharp - np.where(counts, sharp, -np.inf).max(1, keepdims=True)), np.float32(0))
    found: Floats = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    return found
