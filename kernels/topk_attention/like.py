"""The text by which a video is found best, made of its record: what stands in a text's place in a search by a video.

The score is the cosine of a text t and z(t), what the head makes of the frames that t asks for. A text with t = z(t)
has the highest score there is, 1. It is come near to from z with equal weights, by asking the video's own frames with
what came of them, ``ROUNDS`` times. The paper (Dong et al., 2026) has no such search.

Shapes use the letters of ``layout``.
"""

from __future__ import annotations

import math

from torch import Tensor

from .reference import TopKAttention, topk_softmax

ROUNDS = 2


def own_text(head: TopKAttention, streams_VSFD: Tensor) -> Tensor:
    """Frame vectors, as ``factorised.FactorisedHead.encode_video`` makes them, to text embeddings [V, D].

    They have the length sqrt(D), which LayerNorm leaves as it is; a score knows none.
    """
    attn, norm = head.cross_attn, head.layer_norm1
    split = (attn.heads, -1)
    if attn.heads == 1:
        normed = streams_VSFD[:, 0] * norm.weight + norm.bias
        keys, values = attn.k_proj(normed), attn.v_proj(normed)
    else:
        # What is missing from the keys is the same for all frames of a head, and a softmax doesn't see it.
        keys = streams_VSFD[:, 0]
        values = streams_VSFD[:, 1] + (attn.v_proj.weight @ norm.bias + attn.v_proj.bias)
    keys_VHFE, values_VHFE = (x.unflatten(-1, split).transpose(1, 2) for x in (keys, values))
    text = _pooled(head, values_VHFE.mean(2))
    for _ in range(ROUNDS):
        queries_VHE = attn.q_proj(norm(text)).unflatten(-1, split)
        logits = (keys_VHFE * queries_VHE.unsqueeze(2)).sum(-1) / math.sqrt(queries_VHE.shape[-1])
        weights = topk_softmax(logits, min(attn.top_k, logits.shape[-1]))
        text = _pooled(head, (weights.unsqueeze(-1) * values_VHFE).sum(2))
    return text


def _pooled(head: TopKAttention, values_VHE: Tensor) -> Tensor:
    """What the head makes of the weighed values of every head of attention."""
    y = head.layer_norm2(head.cross_attn.out_proj(values_VHE.flatten(1)))
    z: Tensor = head.layer_norm3(y + head.linear_proj(y))
    return z * (math.sqrt(z.shape[-1]) / z.norm(dim=-1, keepdim=True))
