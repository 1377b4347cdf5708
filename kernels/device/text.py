"""Text vectors as the kernels of plain vectors read them: float16, and what rounding them cut off. Letters: W words."""

from __future__ import annotations

import torch
from torch import Tensor


def halves(vectors: Tensor, parts: int) -> Tensor:
    """float16 [Q, parts, ...] of float32 ``vectors`` [Q, ...]: they rounded, and with 2 parts what that cut off."""
    high = vectors.half()
    if parts == 1:
        return high[:, None].contiguous()
    return torch.stack((high, (vectors - high.float()).half()), 1)


def of_words(vectors: Tensor, rows: int, parts: int) -> Tensor:
    """float16 [Q, parts, rows, D] of word vectors [Q, W, D], zeros behind the last word."""
    return halves(torch.nn.functional.pad(vectors, (0, 0, 0, rows - vectors.shape[1])), parts)


def of_sentences(vectors: Tensor) -> Tensor:
    """float16 [Q, 3, D] of sentence vectors [Q, D]: both halves, and zeros for the rows that a product has beside."""
    return torch.nn.functional.pad(halves(vectors, 2), (0, 0, 0, 1))


def scaled(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """``vectors`` [Q, D] with components up to 1, and the powers of two [Q] that they were divided by.

    float16 then keeps as many digits of any vector, however long it is.
    """
    units = torch.ldexp(torch.ones(len(vectors), device=vectors.device), vectors.abs().amax(1).frexp().exponent)
    return vectors / units[:, None], units
