"""All-in-one's text-video matching in eager PyTorch (Wang et al., CVPR 2023): one transformer reads text and frames.

Letters in shapes: N pairs, F frames, W word positions, T tokens of a frame (its class token and patches), D width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Of a frame's tokens, the share that comes from the frame before and that from the frame after.
SHARE = 8


def roll(frames_NFTD: Tensor) -> Tensor:
    """Tokens exchanged between neighbouring frames, the first and the last being neighbours.

    The first eighth behind the class token comes from the frame before, the last eighth from the frame after.
    """
    tokens = frames_NFTD.shape[2]
    share = tokens // SHARE
    kept, before, middle, after = frames_NFTD.split([1, share, tokens - 1 - 2 * share, share], 2)
    return torch.cat([kept, before.roll(1, 1), middle, after.roll(-1, 1)], 2)


def text_tokens(
    blocks: Iterable[nn.Module], norm: nn.Module, text_NWD: Tensor, mask_NW: Tensor, frames_NFTD: Tensor
) -> Tensor:
    """The text's first token [N, D] after all blocks, as the mean over the frames.

    Every frame reads a copy of the text; before each block the frames exchange tokens.

    Args:
        blocks: each maps tokens [B, M, D] and a bias [B, 1, 1, M] of the attention's logits to tokens.
        norm: what follows the last block.
        mask_NW: 1 for a token of the text, 0 for padding, which no token attends to.
    """
    (pairs, words), (frames, tokens) = mask_NW.shape, frames_NFTD.shape[1:3]
    counted = torch.cat([mask_NW.bool(), mask_NW.new_ones(pairs, tokens, dtype=torch.bool)], 1)
    bias_NM = torch.zeros_like(counted, dtype=text_NWD.dtype).masked_fill(~counted, -torch.inf)
    bias = bias_NM[:, None, None, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
    text, image = text_NWD.unsqueeze(1).expand(-1, frames, -1, -1), frames_NFTD
    for block in blocks:
        mixed = block(torch.cat([text, roll(image)], 2).flatten(0, 1), bias).unflatten(0, (-1, frames))
        text, image = mixed.split([words, tokens], 2)
    first: Tensor = norm(text[:, :, 0]).mean(1)
    return first
