"""CLIP's residual attention block, with OpenAI's state_dict names."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .heads import heads_of


class QuickGELU(nn.Module):
    """CLIP's activation, x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head attention; ``in_proj_weight`` holds the rows of query, key and value in that order.

    ``heads`` is width / 64 where not given, as in every CLIP that OpenAI released.
    """

    def __init__(self, width: int, *, causal: bool, heads: int | None = None) -> None:
        super().__init__()
        self.heads, self.causal = heads_of(width, heads), causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Attend from ``x`` to itself, or to ``context``.

        Args:
            x: [B, N, W].
            bias: added to the logits, broadcast to [B, heads, N, M]; not for causal attention.
            context: [B, M, W], whose keys and values are read instead of x's own.

        Returns:
            [B, N, W].
        """
        if context is None:
            qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
            q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            width = x.shape[-1]
            q = F.linear(x, self.in_proj_weight[:width], self.in_proj_bias[:width])
            q = q.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            kv = F.linear(context, self.in_proj_weight[width:], self.in_proj_bias[width:])
            k, v = kv.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=self.causal)
        return self.out_proj(out.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, *, causal: bool = False, eps: float = 1e-5, heads: int | None = None) -> None:
        super().__init__()
        self.attn: nn.Module = Attention(width, causal=causal, heads=heads)
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width))
        )
        self.ln_2 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``Attention``."""
        x = x + self.attn(self.ln_1(x), bias)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of blocks under the name ``resblocks``, initialised as CLIP does."""

    def __init__(
        self, width: int, layers: int, *, causal: bool = False, eps: float = 1e-5, heads: int | None = None
    ) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, causal=causal, eps=eps, heads=heads) for _ in range(layers))
        scale = width**-0.5
        spread = {
            "attn.in_proj_weight": scale,
            "attn.out_proj.weight": scale * (2 * layers) ** -0.5,
            "mlp.c_fc.weight": (2 * width) ** -0.5,
            "mlp.c_proj.weight": scale * (2 * layers) ** -0.5,
        }
        for block in self.resblocks:
            for name, std in spread.items():
                nn.init.normal_(block.get_parameter(name), std=std)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``Attention``, the same for every block."""
        for block in self.resblocks:
            x = block(x, bias)
        return x
