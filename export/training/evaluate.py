"""Scoring a decoded corpus with the eager model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...kernels.topk_attention.factorised import FactorisedHead, score
from ..bundle.text.tokenizers import Tokenizer
from ..evaluation.metrics import RetrievalMetrics, retrieval_metrics
from ..systems.dong2026 import Dong2026


@torch.no_grad()
def encode_frames(model: Dong2026, frames: NDArray[np.uint8], *, batch: int = 32) -> Tensor:
    """Frames uint8 [V, F, 3, S, S] to raw frame embeddings [V, F, D]."""
    device = model.clip.logit_scale.device
    parts = [
        model.clip.encode_frames(torch.from_numpy(np.array(frames[i : i + batch])).to(device))
        for i in range(0, len(frames), batch)
    ]
    return torch.cat(parts)


@torch.no_grad()
def encode_videos(model: Dong2026, frames: NDArray[np.uint8]) -> Tensor:
    """Frames uint8 [V, F, 3, S, S] to the records' frame embeddings [V, F, D]."""
    return torch.cat([model.encode_time(raw) for raw in encode_frames(model, frames).split(256)])


@torch.no_grad()
def encode_texts(model: Dong2026, tokenizer: Tokenizer, texts: Sequence[str], *, batch: int = 128) -> Tensor:
    """Texts to embeddings [Q, D]."""
    device = model.clip.logit_scale.device
    parts = [
        model.encode_text(torch.from_numpy(tokenizer.encode(texts[i : i + batch])).to(device))
        for i in range(0, len(texts), batch)
    ]
    return torch.cat(parts)


@torch.no_grad()
def score_all(model: Dong2026, text: Tensor, frames: Tensor, *, block: int = 64) -> NDArray[np.float32]:
    """Text [Q, D] and records [V, F, D] to scores [Q, V], ``block`` queries and videos at a time."""
    rows = [torch.cat([model.score(t, v)[0] for v in frames.split(block)], dim=1) for t in text.split(block)]
    scores: NDArray[np.float32] = torch.cat(rows).cpu().numpy()
    return scores


@torch.no_grad()
def score_stored(model: Dong2026, text: Tensor, frames: Tensor) -> NDArray[np.float32]:
    """As ``score_all``, from records rounded to float16 as a gallery keeps them."""
    head = FactorisedHead(model.pool_frames, model.config.frames)
    vectors, tables = head.encode_video(frames)
    scores: NDArray[np.float32] = score(*head.encode_text(text), vectors.half().float(), tables, head.shape)[0].numpy()
    return scores


def evaluate(
    model: Dong2026, tokenizer: Tokenizer, frames: NDArray[np.uint8], captions: Sequence[str]
) -> RetrievalMetrics:
    """Text-to-video metrics of one caption per clip, with the model in evaluation mode."""
    training = model.training
    model.eval()
    scores = score_all(model, encode_texts(model, tokenizer, captions), encode_videos(model, frames))
    model.train(training)
    return retrieval_metrics(scores)
