"""BERT's layer (Devlin et al., 2019): norms behind the sums, the exact GELU. State_dict names are Hugging Face's."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .heads import heads_of

EPS = 1e-12
# Added to the attention logits of what is padding: the authors' constant, which half precision can hold, too.
MASKED = -10_000.0


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Multi-head attention of projected queries [B, N, W], keys and values [B, M, W].

    Args:
        bias: added to the logits, broadcast to [B, heads, N, M].

    Returns:
        [B, N, W].
    """
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(-2)


def key_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias [B, 1, 1, M] for ``attend`` of a mask [B, M] that is 1 or true at keys that count."""
    return ((1 - mask.to(dtype)) * MASKED)[:, None, None]


class SelfAttention(nn.Module):
    """Query, key and value. ``heads`` is width / 64 where not given."""

    def __init__(self, width: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads_of(width, heads)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``attend``."""
        return attend(self.query(x), self.key(x), self.value(x), self.heads, bias)


class Output(nn.Module):
    """LN(dense(y) + x)."""

    def __init__(self, inside: int, width: int, eps: float = EPS) -> None:
        super().__init__()
        self.dense = nn.Linear(inside, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """y [B, N, inside] and the residual x [B, N, W] to [B, N, W]."""
        return self.LayerNorm(self.dense(y) + x)


class Layer(nn.Module):
    """x = LN(dense(attention(x)) + x), then x = LN(dense(GELU(dense(x))) + x).

    ``inside`` is the width between the last two, 4 times the width where not given.
    """

    def __init__(self, width: int, *, heads: int | None = None, inside: int | None = None, eps: float = EPS) -> None:
        super().__init__()
        inside = inside or 4 * width
        self.attention = nn.ModuleDict(OrderedDict(self=SelfAttention(width, heads), output=Output(width, width, eps)))
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inside)})
        self.output = Output(inside, width, eps)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``attend``."""
        x = self.attention["output"](self.attention["self"](x, bias), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Layers(nn.Module):
    """A stack of layers under the name ``layer``."""

    def __init__(
        self, width: int, layers: int, *, heads: int | None = None, inside: int | None = None, eps: float = EPS
    ) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(width, heads=heads, inside=inside, eps=eps) for _ in range(layers))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``attend``, the same for every layer."""
        for layer in self.layer:
            x = layer(x, bias)
        return x
