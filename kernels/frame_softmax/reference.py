"""TS2-Net's score in eager PyTorch (Liu et al., ECCV 2022, "TS2-Net: Token Shift and Selection Transformer").

Letters in shapes: Q queries, V videos, F frames, D embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The authors' own constants: sharpness of the softmax, and the weight of a masked frame before it.
SHARPNESS = 4.0
MASKED = -1e18


def frame_softmax(text_QD: Tensor, frames_VFD: Tensor, mask_VF: Tensor) -> Tensor:
    """Score = sum over frames of softmax(4 b) s, where b is the vector of similarities s made unit-length.

    Args:
        text_QD: unit text vectors times the temperature's inverse, exp(logit_scale); float32 or float64. The weights
            don't depend on this scale, because b has unit length whatever it is.
        frames_VFD: unit frame vectors.
        mask_VF: 1 for a frame that counts, 0 for one that does not, in the dtype of the frames. At least one counts.

    Returns:
        Scores [Q, V].
    """
    scores, _ = frame_softmax_weights(text_QD, frames_VFD, mask_VF)
    return scores


def frame_softmax_weights(text_QD: Tensor, frames_VFD: Tensor, mask_VF: Tensor) -> tuple[Tensor, Tensor]:
    """As ``frame_softmax``, with the weights [Q, V, F], each row of which sums to 1."""
    similarity = torch.einsum("qd,vfd->qvf", text_QD, frames_VFD)
    masked = similarity * mask_VF
    unit = masked / masked.norm(dim=-1, keepdim=True)
    weights = (SHARPNESS * unit.masked_fill(mask_VF == 0, MASKED)).softmax(-1)
    return (weights * similarity).sum(-1), weights
