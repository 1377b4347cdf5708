"""ActBERT's connection of text, regions and actions in eager PyTorch (Zhu and Yang, CVPR 2020), as PaddleVideo has it.

Letters in shapes: N pairs, W word positions, R regions, A actions, E width of the connection; the streams' own widths
are D (text and actions) and V (regions). Numbers in names are the authors': 1 regions, 2 text, 3 actions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Added to the logits of padding, and the epsilon of every LayerNorm here: the authors' constants.
MASKED = -1e4
EPS = 1e-12

Streams = tuple[Tensor, Tensor, Tensor]
"""Regions [N, R, V], text [N, W, D] and actions [N, A, D], or their biases [N, 1, 1, R], [N, 1, 1, W], [N, 1, 1, A]."""


def near(actions_NAE: Tensor, rows: int) -> Tensor:
    """Actions stretched to ``rows`` rows: row i is the action floor(i A / rows).

    Padding counts as rows, so the length to which a text is padded changes its score.
    """
    places = torch.arange(rows, device=actions_NAE.device) * actions_NAE.shape[1] // rows
    return actions_NAE[:, places]


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, heads: int) -> Tensor:
    """Attention of ``heads`` heads: queries [N, M, E], keys and values [N, K, E], bias [N, 1, 1, K] to [N, M, E]."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


class TangledAttention(nn.Module):
    """Each stream attends to itself; what actions see in regions moves the text's keys and values, and the reverse.

    Args:
        widths: of regions, text and actions.
        width: E.
    """

    def __init__(self, widths: tuple[int, int, int], width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for number, inside in enumerate(widths, 1):
            for part in ("query", "key", "value"):
                self.add_module(f"{part}{number}", nn.Linear(inside, width))
        self.key_at, self.value_at, self.key_av, self.value_av = (nn.Linear(width, width) for _ in range(4))

    def forward(self, streams: Streams, biases: Streams) -> Streams:
        """What every stream has read, [N, R, E], [N, W, E] and [N, A, E]."""
        q1, q2, q3 = self._project("query", streams)
        k1, k2, k3 = self._project("key", streams)
        v1, v2, v3 = self._project("value", streams)
        seen = attend(q3, k1, v1, biases[0], self.heads)
        said = attend(q3, k2, v2, biases[1], self.heads)
        regions, words = k1.shape[1], k2.shape[1]
        k2 = k2 + near(self.key_av(seen), words)
        k1 = k1 + near(self.key_at(said), regions)
        # ``value_at`` both times: the authors' code never reads ``value_av``, and their weights were trained so.
        v2 = v2 + near(self.value_at(seen), words)
        v1 = v1 + near(self.value_at(said), regions)
        return (
            attend(q1, k1, v1, biases[0], self.heads),
            attend(q2, k2, v2, biases[1], self.heads),
            attend(q3, k3, v3, biases[2], self.heads),
        )

    def _project(self, part: str, streams: Streams) -> Streams:
        one, two, three = (self.get_submodule(f"{part}{number}")(x) for number, x in enumerate(streams, 1))
        return one, two, three


class TangledOutput(nn.Module):
    """What each stream has read, projected, beside what it was."""

    def __init__(self, widths: tuple[int, int, int], width: int) -> None:
        super().__init__()
        for number, outside in enumerate(widths, 1):
            self.add_module(f"dense{number}", nn.Linear(width, outside))
            self.add_module(f"LayerNorm{number}", nn.LayerNorm(outside, eps=EPS))

    def forward(self, read: Streams, streams: Streams) -> Streams:
        """Read [N, ., E] and streams as they were to streams."""
        one, two, three = (
            self.get_submodule(f"LayerNorm{number}")(self.get_submodule(f"dense{number}")(new) + old)
            for number, (new, old) in enumerate(zip(read, streams, strict=True), 1)
        )
        return one, two, three


def matching(text_NE: Tensor, regions_NE: Tensor, actions_NE: Tensor) -> Tensor:
    """What the last linear map reads, [N, E], of the three pooled streams."""
    return text_NE * regions_NE + actions_NE
