"""Heads with random weights and the records of correlated frames, for the tests of every scorer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors
from framesift.kernels.topk_attention.reference import TopKAttention


def random_head(width: int, heads: int, top_k: int, spread: float = 0.3) -> TopKAttention:
    """The authors' initialisation plus noise on every parameter; none with ``spread`` 0."""
    head = TopKAttention(width, heads=heads, top_k=top_k)
    for parameter in head.parameters():
        scale = spread / width**0.5 if parameter.ndim == 2 else spread
        parameter.data += scale * torch.randn_like(parameter)
    return head


@dataclass(frozen=True)
class Problem:
    """Queries and videos of one head, with the published formula's scores in float64 and its attention."""

    shape: HeadShape
    text: TextVectors
    frames: npt.NDArray[np.float32]
    tables: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    attention: npt.NDArray[np.float64]
    gap: npt.NDArray[np.float64]
    """[Q, V]: how far apart the last kept logit and the next one are, in the closest head."""

    def gallery(self, dtype: Any = np.float32) -> GalleryVectors:
        """The videos in float32 or float16 storage."""
        return GalleryVectors(self.frames.astype(dtype), pack_tables(self.tables))


@torch.no_grad()
def problem(
    queries: int, videos: int, frames: int, width: int, heads: int, top_k: int, spread: float = 0.3, seed: int = 0
) -> Problem:
    """A random head on videos whose frames correlate at about 0.9, and queries drawn towards one frame each."""
    torch.manual_seed(seed)
    head = random_head(width, heads, top_k, spread)
    scene = torch.randn(videos, 1, width) + torch.randn(width)
    clips = scene + 0.45 * torch.randn(videos, frames, width)
    hit = clips[torch.arange(queries) % videos, torch.randint(frames, (queries,))]
    text = 0.4 * hit + torch.randn(queries, width)
    folded = FactorisedHead(head, frames)
    vectors = TextVectors(*(part.contiguous().numpy() for part in folded.encode_text(text)))
    streams, tables = folded.encode_video(clips)
    head.double()
    exact = FactorisedHead(head, frames)
    split = (heads, width // heads)
    keys = exact.encode_video(clips.double())[0][:, 0].unflatten(-1, split)
    logits = torch.einsum("qhd,vfhd->qvhf", exact.encode_text(text.double())[0].unflatten(-1, split), keys)
    ordered = logits.sort(-1, descending=True).values
    full = top_k == frames
    gap = torch.full((queries, videos), torch.inf) if full else (ordered[..., top_k - 1] - ordered[..., top_k]).amin(-1)
    parts = [head(some.double(), clips.double()) for some in text.split(16)]
    scores, attention = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return Problem(folded.shape, vectors, streams.numpy(), tables.numpy(), scores, attention, gap.numpy())
