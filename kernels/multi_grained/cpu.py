"""X-CLIP's score on the CPU; ``reference`` is the definition and has the letters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..pairs import Array, PairsScan
from ..walk import Floats

# 1 / TEMPERATURE of ``reference``.
SHARPNESS = 100.0


@dataclass(frozen=True)
class Weights:
    """``Matrices`` of the reference, float32, and the temperature's inverse."""

    word_logit: Floats
    frame_logit: Floats
    word_mat: Floats
    frame_mat: Floats
    frame_mat2: Floats
    word_mat2: Floats
    scale: float

    def packed(self) -> Floats:
        """The matrices one after another, as csrc/multi_grained.h takes them."""
        parts = (self.word_logit, self.frame_logit, self.word_mat, self.frame_mat, self.frame_mat2, self.word_mat2)
        return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


@dataclass(frozen=True)
class Texts:
    """``TextRecord`` of the reference, float32."""

    sentence: Floats
    sentence_mixed: Floats
    words: Floats
    words_mixed: Floats


def scan(text: Texts, video_VD: Array, frames_VFD: Array, weights: Weights) -> PairsScan:
    """The scan of texts and videos.

    Raises:
        ValueError: as ``PairsScan``, or other numbers of words or frames than the matrices are for.
    """
    words, frames = text.words.shape[1], frames_VFD.shape[1]
    if (words, frames) != (len(weights.word_mat), len(weights.frame_mat)):
        raise ValueError(
            f"the records hold {words} word positions and {frames} frames, the weights are for "
            f"{len(weights.word_mat)} and {len(weights.frame_mat)}: encode with exactly those"
        )
    texts = {
        "text": text.words_mixed,
        "words_whole": text.words,
        "sentence": text.sentence,
        "sentence_whole": text.sentence_mixed,
    }
    records = {"frame_vectors": frames_VFD, "whole": video_VD}
    return PairsScan(
        "multi_grained", texts, records, matrices=weights.packed(), sharpness=SHARPNESS, scale=weights.scale
    )
