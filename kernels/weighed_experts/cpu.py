"""MMT's score of present experts on the CPU; ``reference`` is the definition and has the letters."""

from __future__ import annotations

import numpy as np

from ..pairs import Array, PairsScan
from ..walk import Floats


def scan(text_QE: Floats, logits_QM: Floats, video_VE: Array, present_VM: Array) -> PairsScan:
    """The scan of texts and videos: that of a dot product, divided by the shares of a video's experts.

    Raises:
        ValueError: as ``PairsScan``, or as the reference.
    """
    experts = logits_QM.shape[-1]
    if text_QE.shape[-1] % experts:
        raise ValueError(f"texts have {text_QE.shape[-1]} numbers, which {experts} experts can't share")
    powers = np.exp(logits_QM - logits_QM.max(-1, keepdims=True))
    shares = powers / powers.sum(-1, keepdims=True)
    weighed = text_QE.reshape(len(text_QE), experts, -1) * shares[..., None]
    text = {"text": weighed.reshape(len(text_QE), 1, -1), "shares": shares}
    return PairsScan("dot", text, {"frame_vectors": video_VE[:, None], "present": present_VM})
