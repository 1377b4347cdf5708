"""Mug-STAN's score in eager PyTorch (Liu et al., 2023, "Mug-STAN", head ``mug_frame_token_simple``).

Letters in shapes: Q queries, V videos, W word positions, F frames, D embedding width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TAU = 100.0


def pool(similarity: Tensor, tau: float) -> Tensor:
    """Softmax-weighted sum over the last axis, [..., N] to [...]; exact zeros take no part.

    Where every entry is zero the result is zero, where the authors' code would give NaN.
    """
    absent = similarity == 0
    logits = (similarity * tau).masked_fill(absent, -math.inf)
    weights = logits.masked_fill(absent.all(-1, keepdim=True), 0).softmax(-1)
    return (similarity * weights).sum(-1)


def token_frame(words_QWD: Tensor, frames_VFD: Tensor, tau: float = TAU) -> Tensor:
    """Mean of text-to-video and video-to-text similarity.

    Args:
        words_QWD: unit vectors of the word positions, float32 or float64; all zeros where the text has no word, which
            is how such a position is recognised: its similarity is exactly zero.
        frames_VFD: unit vectors of the frames.
        tau: sharpness of all softmaxes.

    Returns:
        Scores [Q, V].
    """
    similarity = torch.einsum("qwd,vfd->qvwf", words_QWD, frames_VFD)
    per_word = (similarity * (similarity * tau).softmax(-1)).sum(-1)
    per_frame = pool(similarity.transpose(-1, -2), tau)
    to_video = pool(per_word, tau)
    to_text = (per_frame * (per_frame * tau).softmax(-1)).sum(-1)
    return (to_video + to_text) / 2
