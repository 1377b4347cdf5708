"""MMT's score of a pair in eager PyTorch, where an expert that a video lacks is left out (Gabeur et al., ECCV 2020).

Letters in shapes: Q texts, V videos, M experts, E numbers of all experts' vectors, one behind the other.
"""

from __future__ import annotations

from torch import Tensor

# Below what any share of a text can be: shares that float32 rounds to zero give a score of zero, not NaN.
LEAST = 1e-30


def weighed_experts(text_QE: Tensor, logits_QM: Tensor, video_VE: Tensor, present_VM: Tensor) -> Tensor:
    """The mean over a video's experts of their dot products, each with the text's share of it.

    A text's shares are the softmax of its logits. They are divided by what those that the video has sum to, so a pair
    takes two dot products.

    Args:
        text_QE: a vector of each expert.
        video_VE: a vector of each expert, zeros where it is missing.
        present_VM: 1 for an expert that the video has, 0 for another; at least one is there.

    Returns:
        Scores [Q, V].

    Raises:
        ValueError: the widths differ.
    """
    if text_QE.shape[-1] != video_VE.shape[-1] or logits_QM.shape[-1] != present_VM.shape[-1]:
        raise ValueError(
            f"texts have {logits_QM.shape[-1]} experts of {text_QE.shape[-1]} numbers and videos "
            f"{present_VM.shape[-1]} of {video_VE.shape[-1]}: they are records of different models"
        )
    shares_QM = logits_QM.softmax(-1)
    weighed_QE = (text_QE.unflatten(-1, (logits_QM.shape[-1], -1)) * shares_QM.unsqueeze(-1)).flatten(-2)
    products_QV = weighed_QE @ video_VE.transpose(-1, -2)
    return products_QV / (shares_QM @ present_VM.transpose(-1, -2)).clamp(min=LEAST)
