"""ClipBERT's score of a pair in eager PyTorch (Lei et al., CVPR 2021): a transformer reads the text beside each clip.

Letters in shapes: N pairs, C clips of a video, W word positions, T visual tokens of a clip, D width, L logits (2, of
which the second is the match, or 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# Added to the logits of padding: the authors' constant.
MASKED = -1e4

POOLINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "lse": lambda logits: logits.logsumexp(1),
    "mean": lambda logits: logits.mean(1),
    "max": lambda logits: logits.amax(1),
}
"""How the logits [N, C, L] of clips become a video's [N, L]."""


def clip_logits(
    encode: Callable[[Tensor, Tensor], Tensor], text_NWD: Tensor, mask_NW: Tensor, clips_NCTD: Tensor
) -> Tensor:
    """The logits [N, C, L] of every clip.

    Args:
        encode: tokens [B, W + T, D] and a bias [B, 1, 1, W + T] of the attention's logits to logits [B, L].
        mask_NW: 1 for a token of the text, 0 for padding. Visual tokens count always, those of black bars as well.
    """
    clips, tokens = clips_NCTD.shape[1:3]
    counted_NM = torch.cat([mask_NW, mask_NW.new_ones(mask_NW.shape[0], tokens)], 1).to(text_NWD.dtype)
    bias = ((1 - counted_NM) * MASKED)[:, None, None, None].expand(-1, clips, -1, -1, -1)
    joint = torch.cat([text_NWD.unsqueeze(1).expand(-1, clips, -1, -1), clips_NCTD], 2)
    return encode(joint.flatten(0, 1), bias.flatten(0, 1)).unflatten(0, (-1, clips))


def match(logits_NL: Tensor) -> Tensor:
    """The probability [N] that text and video belong together."""
    return logits_NL.softmax(-1)[:, 1] if logits_NL.shape[1] > 1 else logits_NL.sigmoid().squeeze(1)
