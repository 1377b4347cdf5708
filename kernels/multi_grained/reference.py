"""X-CLIP's score in eager PyTorch (Ma et al., ACM MM 2022, "X-CLIP: End-to-End Multi-grained Contrastive Learning").

Letters in shapes: Q queries, V videos, W word positions, F frames, D embedding width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Raw cosines are divided by this before every softmax, so an error in them grows a hundredfold: score in float32.
TEMPERATURE = 0.01


class Matrices(NamedTuple):
    """What mixes softmax weights, the authors' names without ``_weight``: ``word_*`` are [W, W], ``frame_*`` [F, F]."""

    word_logit: Tensor
    frame_logit: Tensor
    word_mat: Tensor
    frame_mat: Tensor
    frame_mat2: Tensor
    word_mat2: Tensor


class TextRecord(NamedTuple):
    """Unit vectors of sentences [Q, D] and word positions [Q, W, D]; ``mixed``: times the weights' [D, D] matrices."""

    sentence: Tensor
    sentence_mixed: Tensor
    words: Tensor
    words_mixed: Tensor


class VideoRecord(NamedTuple):
    """Unit vectors of videos [V, D] and of their frames [V, F, D]."""

    video: Tensor
    frames: Tensor


class Granularities(NamedTuple):
    """The four similarities [Q, V], before the temperature."""

    video_sentence: Tensor
    video_word: Tensor
    sentence_frame: Tensor
    frame_word: Tensor


def attend(similarity: Tensor, matrix_NN: Tensor) -> Tensor:
    """Attention over a similarity matrix's last axis: sum_n s_n (softmax(s / 0.01) M)_n, [..., N] to [...]."""
    return (similarity * ((similarity / TEMPERATURE).softmax(-1) @ matrix_NN)).sum(-1)


def granularities(text: TextRecord, video: VideoRecord, matrices: Matrices) -> Granularities:
    """Every pair's four similarities. All word positions and all frames take part: there is no mask."""
    fine = torch.einsum("qwd,vfd->qvfw", text.words_mixed, video.frames)
    per_frame = attend(fine, matrices.word_mat)
    per_word = attend(fine.transpose(-1, -2), matrices.frame_mat)
    return Granularities(
        video_sentence=text.sentence_mixed @ video.video.T,
        video_word=attend(torch.einsum("qwd,vd->qvw", text.words, video.video), matrices.word_logit),
        sentence_frame=attend(torch.einsum("qd,vfd->qvf", text.sentence, video.frames), matrices.frame_logit),
        frame_word=(attend(per_frame, matrices.frame_mat2) + attend(per_word, matrices.word_mat2)) / 2,
    )


def multi_grained(text: TextRecord, video: VideoRecord, matrices: Matrices, scale: Tensor) -> Tensor:
    """Mean of the four similarities times the temperature's inverse.

    Args:
        text: one record a query, float32 or float64.
        video: one record a video, same dtype.
        matrices: of the W and F that the records have.
        scale: exp(logit_scale), a scalar.

    Returns:
        Scores [Q, V].

    Raises:
        ValueError: the records' W or F is not that of the matrices.
    """
    words, frames = text.words.shape[1], video.frames.shape[1]
    if words != matrices.word_mat.shape[0] or frames != matrices.frame_mat.shape[0]:
        raise ValueError(
            f"the records hold {words} word positions and {frames} frames, the weights are for "
            f"{matrices.word_mat.shape[0]} and {matrices.frame_mat.shape[0]}: encode with exactly those"
        )
    parts = granularities(text, video, matrices)
    return scale * (parts.video_sentence + parts.video_word + parts.sentence_frame + parts.frame_word) / 4
