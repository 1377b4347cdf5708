"""CLIP's residual attention block, with OpenAI's state_dict names."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD_WIDTH = 64


class QuickGELU(nn.Module):
    """CLIP's activation, x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head self-attention; ``in_proj_weight`` holds the rows of query, key and value in that order."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = max(1, width // HEAD_WIDTH), causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, W] to [B, N, W]."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out_proj(out.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, *, causal: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.attn = Attention(width, causal=causal)
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width))
        )
        self.ln_2 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, W] to [B, N, W]."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of blocks under the name ``resblocks``, initialised as CLIP does."""

    def __init__(self, width: int, layers: int, *, causal: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, causal=causal, eps=eps) for _ in range(layers))
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

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, W] to [B, N, W]."""
        for block in self.resblocks:
            x = block(x)
        return x
