"""DistilBERT (Sanh et al., 2019): BERT's layers under other names, without token types and pooler."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from .bert import PADDING, BertConfig, Embeddings
from .heads import heads_of
from .post_ln import EPS, attend, key_bias


class Attention(nn.Module):
    """Query, key, value and output."""

    def __init__(self, width: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads_of(width, heads)
        self.q_lin, self.k_lin, self.v_lin, self.out_lin = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``post_ln.attend``."""
        return self.out_lin(attend(self.q_lin(x), self.k_lin(x), self.v_lin(x), self.heads, bias))


class DistilLayer(nn.Module):
    """x = LN(attention(x) + x), then x = LN(lin2(GELU(lin1(x))) + x)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, inside = config.width, config.inside
        self.attention = Attention(width, config.heads)
        self.sa_layer_norm = nn.LayerNorm(width, eps=EPS)
        self.ffn = nn.ModuleDict(OrderedDict(lin1=nn.Linear(width, inside), lin2=nn.Linear(inside, width)))
        self.output_layer_norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, N, W] to [B, N, W]; ``bias`` as in ``post_ln.attend``."""
        x = self.sa_layer_norm(self.attention(x, bias) + x)
        return self.output_layer_norm(self.ffn["lin2"](F.gelu(self.ffn["lin1"](x))) + x)


class DistilBert(nn.Module):
    """Embeddings and layers. Padding, token id 0, is masked, so any padded length gives the same embedding."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config.width, config.vocab_size, config.positions, types=0)
        self.transformer = nn.ModuleDict({"layer": nn.ModuleList(DistilLayer(config) for _ in range(config.layers))})

    def forward(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [B, W], W at most the positions, to the last layer's output [B, W, width]."""
        x = self.embeddings(token_ids)
        bias = key_bias(token_ids != PADDING, x.dtype)
        layers = self.transformer["layer"]
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            x = layer(x, bias)
        return x
