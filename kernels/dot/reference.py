"""Dot product in eager PyTorch: the whole score of a dual encoder.

Whatever scales or normalises a side is folded into its vector: a cosine is the dot product of unit vectors, and CLIP's
temperature multiplies the text's.
"""

from __future__ import annotations

from torch import Tensor


def dot(text_QD: Tensor, video_VD: Tensor) -> Tensor:
    """Texts [Q, D] and videos [V, D], any floating dtype, to scores [Q, V] of the same dtype.

    Raises:
        ValueError: the widths differ.
    """
    if text_QD.shape[-1] != video_VD.shape[-1]:
        raise ValueError(
            f"texts are {text_QD.shape[-1]} wide and videos {video_VD.shape[-1]}: they are records of different models"
        )
    return text_QD @ video_VD.transpose(-1, -2)
