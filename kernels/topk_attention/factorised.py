"""The score of ``reference.TopKAttention``, factorised exactly: no D x D product is left per pair.

Softmax weights sum to one and everything behind them is affine but for the scales of two LayerNorms and one norm. So
with the normalised frames x_i of a video (LayerNorm 1 without its gain and bias) a pair needs only

    l_i = u . x_i          logits: what doesn't depend on i cancels in the softmax
    s_i = w . x_i          readout
    a = softmax of the K largest l
    sigma = sqrt(a' G1 a)                                                  scale of LayerNorm 2
    r = sqrt(a' G2 a + sigma (h2 . a))                                     sigma times the scale of LayerNorm 3
    e = a' G3 a + sigma (h3 . a) + r (h4 . a + 2 kappa sigma)              squared norm of r times the pooled video
    score = (a . s + tau_0 + sigma tau_1 + r tau_2) / sqrt(e)

where u, w, tau belong to the text, x, G, h to the video and kappa to the checkpoint; it travels with the text, so that
the scorer itself has no weights. Every epsilon is in G: because sum a = H, a constant becomes a form. With more than
one head keys and values take the place of x in the two products.

Shapes use the letters of ``layout``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from .layout import TINY, HeadShape, upper_triangle
from .reference import TopKAttention, topk_softmax


class FactorisedHead(nn.Module):
    """What a checkpoint's head leaves on the text's and on the video's side.

    All products of weights are formed in float64; ``.double()`` afterwards would not bring back what rounding took,
    so a float64 head comes from a float64 reference.
    """

    text_to_logit: Tensor
    logit_bias: Tensor
    text_to_readout: Tensor
    text_to_scalars: Tensor
    kappa: Tensor
    frame_to_streams: Tensor
    frame_to_pooled: Tensor
    pooled_bias: Tensor
    frame_to_projected: Tensor
    projected_bias: Tensor
    gain3: Tensor
    biases: Tensor
    form_mix: Tensor
    vector_maps: Tensor

    def __init__(self, head: TopKAttention, frames: int) -> None:
        """Fold the weights of ``head`` for videos of ``frames`` frames; buffers have its weights' dtype and device."""
        super().__init__()
        attn = head.cross_attn
        width = attn.q_proj.in_features
        self.shape = HeadShape(frames, width, min(attn.top_k, frames), attn.heads)
        self.eps1 = head.layer_norm1.eps
        weight = attn.q_proj.weight
        for name, value in _fold(head).items():
            # Derived, so not part of a checkpoint.
            self.register_buffer(name, value.to(weight.device, weight.dtype).contiguous(), persistent=False)

    def encode_text(self, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw text embeddings [Q, D] to logit vectors [Q, D], readout vectors [Q, D] and scalars [Q, 4]."""
        normed = nnf.layer_norm(text, text.shape[-1:], eps=self.eps1)
        unit = text / text.norm(dim=-1, keepdim=True)
        logit = normed @ self.text_to_logit + self.logit_bias
        taus = unit @ self.text_to_scalars
        scalars = torch.cat([taus, self.kappa.expand(taus.shape[0], 1)], dim=-1)
        return logit, unit @ self.text_to_readout, scalars

    def encode_video(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frame embeddings [V, F, D], temporal encoding applied, to frame vectors [V, S, F, D] and tables [V, R]."""
        heads, width = self.shape.heads, self.shape.width
        normed = nnf.layer_norm(frames, frames.shape[-1:], eps=self.eps1)
        if heads == 1:
            streams = normed.unsqueeze(1)
            values = streams
        else:
            keys = normed @ self.frame_to_streams[0]
            # A softmax doesn't see what all logits share, and what is left is small: rounding in storage takes less.
            keys = keys - keys.mean(1, keepdim=True)
            streams = torch.stack([keys, normed @ self.frame_to_streams[1]], dim=1)
            values = streams[:, 1].unflatten(-1, (heads, width // heads)).transpose(1, 2)
        # Head-major, [V, N, D]: centred before any square is formed, or digits are lost.
        pooled = (values @ self.frame_to_pooled).flatten(1, 2) + self.pooled_bias
        projected = (values @ self.frame_to_projected).flatten(1, 2) + self.projected_bias
        scaled = projected * self.gain3
        grams = torch.stack([x @ x.transpose(1, 2) for x in (pooled, projected, scaled)], dim=-1)
        forms = grams.flatten(1, 2) @ self.form_mix[:3] + self.form_mix[3]
        i, j, weight = upper_triangle(self.shape.entries)
        upper = torch.from_numpy(i * self.shape.entries + j).to(forms.device)
        doubled = torch.from_numpy(weight).to(forms.device, forms.dtype).unsqueeze(-1)
        vectors = projected @ self.vector_maps
        return streams, torch.cat([(forms[:, upper] * doubled).flatten(1), vectors.flatten(1)], dim=1)


def score(
    logit_vectors: Tensor, readout_vectors: Tensor, scalars: Tensor, frames: Tensor, tables: Tensor, shape: HeadShape
) -> tuple[Tensor, Tensor]:
    """Score every query against every video from what ``FactorisedHead`` made of them.

    Args:
        logit_vectors: [Q, D].
        readout_vectors: [Q, D].
        scalars: [Q, 4].
        frames: frame vectors [V, S, F, D].
        tables: Gram tables [V, R].

    Returns:
        Scores [Q, V] in [-1, 1] and attention weights [Q, V, F], averaged over heads; each row sums to 1.
    """
    heads, entries = shape.heads, shape.entries
    split = (heads, shape.width // heads)
    keys, values = frames[:, 0].unflatten(-1, split), frames[:, -1].unflatten(-1, split)
    logits = torch.einsum("qhd,vfhd->qvhf", logit_vectors.unflatten(-1, split), keys)
    readout = torch.einsum("qhd,vfhd->qvhf", readout_vectors.unflatten(-1, split), values)
    weights = topk_softmax(logits, shape.top_k)
    pooled = (weights * readout).sum((-2, -1))
    a = weights.flatten(-2).transpose(0, 1)
    forms, vectors = _unpacked(tables, entries)
    products = (a @ forms).unflatten(-1, (entries, 3)) * a.unsqueeze(-1)
    quadratic = products.sum(-2).transpose(0, 1)
    linear = (a @ vectors).transpose(0, 1)
    sigma = quadratic[..., 0].clamp_min(TINY).sqrt()
    r = (quadratic[..., 1] + sigma * linear[..., 0]).clamp_min(TINY).sqrt()
    tau = scalars.unsqueeze(1).unbind(-1)
    norm = quadratic[..., 2] + sigma * linear[..., 1] + r * (linear[..., 2] + tau[3] * sigma)
    scores = (pooled + tau[0] + sigma * tau[1] + r * tau[2]) / norm.clamp_min(TINY).sqrt()
    return scores, weights.mean(-2)


def _unpacked(tables: Tensor, entries: int) -> tuple[Tensor, Tensor]:
    """Tables [V, R] as forms [V, N, N * 3], symmetric, and vectors [V, N, 3]."""
    i, j, _ = upper_triangle(entries)
    triangle = len(i)
    place, half = np.empty((entries, entries), np.int64), np.full((entries, entries), 0.5)
    place[i, j] = place[j, i] = np.arange(triangle)
    np.fill_diagonal(half, 1.0)
    index = torch.from_numpy(place.ravel()).to(tables.device)
    share = torch.from_numpy(half.reshape(-1, 1)).to(tables.device, tables.dtype)
    packed = tables[:, : 3 * triangle].unflatten(-1, (triangle, 3))
    forms = packed[:, index] * share
    vectors = tables[:, 3 * triangle :].unflatten(-1, (entries, 3))
    return forms.unflatten(1, (entries, entries)).flatten(-2), vectors


@torch.no_grad()
def _fold(head: TopKAttention) -> dict[str, Tensor]:
    """Every product of weights, in float64. Matrices are laid out to be multiplied from the right."""
    attn, heads = head.cross_attn, head.cross_attn.heads
    gain1, bias1, gain2, bias2, gain3, bias3 = (
        p.double() for n in (head.layer_norm1, head.layer_norm2, head.layer_norm3) for p in (n.weight, n.bias)
    )
    (wq, bq), (wk, _), (wv, bv), (wo, bo), (wl, bl) = (
        (layer.weight.double(), layer.bias.double())
        for layer in (attn.q_proj, attn.k_proj, attn.v_proj, attn.out_proj, head.linear_proj)
    )
    width = wq.shape[0]
    one = torch.eye(width, dtype=torch.float64, device=wq.device)
    centre = one - 1.0 / width
    # LayerNorm 2's normalised input to LayerNorm 3's centred input.
    project = centre @ (one + wl) @ torch.diag(gain2) @ centre
    pooled_bias = wo @ (wv @ bias1 + bv) + bo
    offset = centre @ ((one + wl) @ bias2 + bl)
    scale = (width // heads) ** -0.5
    to_query, query_bias = (wq * gain1) * scale, (wq @ bias1 + bq) * scale
    to_key, to_value = wk * gain1, wv * gain1
    if heads == 1:
        # The key projection moves to the text's side, the value projection into the maps to pooled and projected.
        back = centre @ to_key.T
        text_to_logit, logit_bias = (back @ to_query).T, back @ query_bias
        to_pooled = (centre @ wo @ to_value @ centre).T.unsqueeze(0)
        to_projected = (project @ wo @ to_value @ centre).T.unsqueeze(0)
        text_to_readout = gain3.unsqueeze(1) * (project @ wo @ to_value @ centre)
        streams = torch.empty(0, dtype=torch.float64)
    else:
        text_to_logit, logit_bias = to_query.T, query_bias
        to_pooled = (centre @ wo).T.unflatten(0, (heads, -1))
        to_projected = (project @ wo).T.unflatten(0, (heads, -1))
        text_to_readout = gain3.unsqueeze(1) * (project @ wo)
        streams = torch.stack([to_key.T, to_value.T])
    eps2, eps3 = head.layer_norm2.eps, head.layer_norm3.eps
    scaled_offset = gain3 * offset
    norm, scaled_norm, bias_norm = offset @ offset, scaled_offset @ scaled_offset, bias3 @ bias3
    # G1, G2, G3 from the three Gram matrices: each folds the earlier ones, and with them the epsilons, into itself.
    spread = eps3 + norm / width
    row1 = torch.tensor([1.0, spread, scaled_norm + bias_norm * spread], dtype=torch.float64) / width
    row2 = torch.tensor([0.0, 1.0, bias_norm], dtype=torch.float64) / width
    row3 = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    h2 = 2 / width * offset
    projected_bias = project @ pooled_bias
    return {
        "text_to_logit": text_to_logit,
        "logit_bias": logit_bias,
        "text_to_readout": text_to_readout,
        "text_to_scalars": torch.stack([gain3 * projected_bias, scaled_offset, bias3], dim=1),
        "kappa": 2 * (gain3 * bias3 @ offset).reshape(1, 1),
        "frame_to_streams": streams,
        "frame_to_pooled": to_pooled,
        "pooled_bias": centre @ pooled_bias / heads,
        "frame_to_projected": to_projected,
        "projected_bias": projected_bias / heads,
        "gain3": gain3,
        "biases": torch.stack([spread.sqrt(), scaled_norm.sqrt(), bias_norm.sqrt(), 2 * (gain3 * bias3 @ offset)]),
        # With sum a = H, a constant c is the form c / H^2.
        "form_mix": torch.stack([row1, row2, row3, row1 * width * eps2 / heads**2]),
        "vector_maps": torch.stack([h2, 2 * gain3 * scaled_offset + bias_norm * h2, 2 * gain3 * bias3], dim=1),
    }
