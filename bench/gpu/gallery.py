"""A random gallery of the scorer on a device, and what its scores must be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.topk_attention import factorised
from ...kernels.topk_attention.layout import LANES
from ...kernels.topk_attention.reference import TopKAttention
from ..inputs.attention import drawn_frames, drawn_head
from .floor import COMPONENT, FRAMES, SHAPE, TOP_K, WIDTH

STORAGE: dict[str, torch.dtype] = {name: getattr(torch, name) for name in COMPONENT}


@dataclass
class Case:
    """The arguments of ``launch.score`` but for the number of queries, and the head and vectors they came from.

    Attributes:
        raw: frame embeddings [v, F, D] of the first videos, for the baselines.
    """

    head: TopKAttention
    folded: factorised.FactorisedHead
    storage: str
    frames: Tensor
    table: Tensor
    mean: Tensor | None
    raw: Tensor

    def text(self, queries: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Raw text embeddings [Q, D] and their logit vectors, readout vectors and scalars."""
        text = torch.randn(queries, WIDTH, device=self.frames.device)
        with torch.no_grad():
            logit, readout, scalars = self.folded.encode_text(text)
        return text, logit.contiguous(), readout.contiguous(), scalars.contiguous()

    def tables(self, part: slice) -> Tensor:
        """The tables [v, n] of some videos, row by row."""
        block = part.start // LANES
        rows = self.table[block : -(-part.stop // LANES)].transpose(1, 2).flatten(0, 1)
        return rows[part.start - block * LANES : part.stop - block * LANES]


def gallery(videos: int, storage: str, device: torch.device, *, raw: int, step: int = 4096) -> Case:
    """A random gallery; the first ``raw`` videos' embeddings are kept too."""
    head = drawn_head(WIDTH, TOP_K).to(device)
    folded = factorised.FactorisedHead(head, FRAMES)
    dtype, quantised = STORAGE[storage], COMPONENT[storage] == 1
    rows = SHAPE.rows + FRAMES * quantised
    frames = torch.empty(videos, 1, FRAMES, WIDTH, dtype=dtype, device=device)
    table = torch.zeros(-(-videos // LANES), rows, LANES, device=device)
    mean = torch.empty(videos, WIDTH, dtype=torch.float16, device=device) if quantised else None
    kept = []
    for start in range(0, videos, step):
        count = min(step, videos - start)
        some = drawn_frames(count, FRAMES, WIDTH, device=device)
        if start < raw:
            kept.append(some[: raw - start])
        with torch.no_grad():
            streams, tables = folded.encode_video(some)
        if mean is None:
            frames[start : start + count] = streams.to(dtype)
        else:
            frames[start : start + count], scales, mean[start : start + count] = _quantised(streams, dtype)
            tables = torch.cat((tables, scales), 1)
        blocks = -(-count // LANES)
        padded = torch.zeros(blocks * LANES, rows, device=device)
        padded[:count] = tables
        table[start // LANES : start // LANES + blocks] = padded.unflatten(0, (-1, LANES)).transpose(1, 2)
    return Case(head, folded, storage, frames, table, mean, torch.cat(kept))


def exact(case: Case, u: Tensor, w: Tensor, tau: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """Scores of some videos in float64 from what is stored, and whether the K-th logit is clearly apart [Q, v]."""
    x, tables = case.frames[part].double(), case.tables(part).double()
    if case.mean is not None:
        x = x * tables[:, None, SHAPE.rows :, None] + case.mean[part, None, None].double()
    with torch.no_grad():
        scores, _ = factorised.score(u.double(), w.double(), tau.double(), x, tables[:, : SHAPE.rows], SHAPE)
    logits = torch.einsum("qd,vfd->qvf", u.double(), x[:, 0]).sort(dim=-1, descending=True).values
    return scores, logits[..., TOP_K - 1] - logits[..., TOP_K] > 2e-2


def _quantised(streams: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Frame vectors [v, 1, F, D] as residuals around the mean frame, scales [v, F] and means [v, D]."""
    mean = streams[:, 0].mean(1).half()
    residual = streams - mean[:, None, None].float()
    limit = 127.0 if dtype == torch.int8 else 448.0
    scale = residual.abs().amax(-1, keepdim=True).clamp_min(1e-12) / limit
    steps = residual / scale
    return (steps.round() if dtype == torch.int8 else steps).to(dtype), scale[:, 0, :, 0], mean
