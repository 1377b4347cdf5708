"""Encoding and scoring whole sets with an eager system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bundle.text.tokenizers import Tokenizer
from ..evaluation.metrics import RetrievalMetrics, retrieval_metrics
from ..systems.contract import Record, System
from ..systems.dong2026 import Dong2026

_DTYPES = {"float16": torch.float16, "float32": torch.float32}


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
def encode_videos(system: System, *inputs: NDArray[Any], batch: int = 32) -> Record:
    """What ``System.video_inputs`` names, of V videos, to the video record [V, ...]."""
    parts = [
        system.encode_video(*(torch.from_numpy(np.array(x[i : i + batch])).to(_device(system)) for x in inputs))
        for i in range(0, len(inputs[0]), batch)
    ]
    return tuple(map(torch.cat, zip(*parts, strict=True)))


@torch.no_grad()
def encode_texts(system: System, tokenizer: Tokenizer, texts: Sequence[str], *, batch: int = 128) -> Record:
    """Texts to the text record [Q, ...]."""
    parts = [
        system.encode_text(torch.from_numpy(tokenizer.encode(texts[i : i + batch])).to(_device(system)))
        for i in range(0, len(texts), batch)
    ]
    return tuple(map(torch.cat, zip(*parts, strict=True)))


def as_stored(system: System, video: Sequence[Tensor]) -> Record:
    """Video records rounded as a gallery keeps them."""
    return tuple(
        values.to(_DTYPES[tensor.stored]).to(values.dtype)
        for tensor, values in zip(system.video_record, video, strict=True)
    )


@torch.no_grad()
def score_all(
    system: System, text: Sequence[Tensor], video: Sequence[Tensor], *, block: int = 64
) -> NDArray[np.float32]:
    """Text records [Q, ...] and video records [V, ...] to scores [Q, V], ``block`` queries and videos at a time."""
    texts, videos = (list(zip(*(x.split(block) for x in record), strict=True)) for record in (text, video))
    rows = [torch.cat([system.score(t, v) for v in videos], dim=1) for t in texts]
    scores: NDArray[np.float32] = torch.cat(rows).cpu().numpy()
    return scores


def evaluate(
    model: Dong2026, tokenizer: Tokenizer, frames: NDArray[np.uint8], captions: Sequence[str]
) -> RetrievalMetrics:
    """Text-to-video metrics of one caption per clip by the published formula, with the model in evaluation mode."""
    training = model.training
    authors = model.eval().published
    scores = score_all(authors, encode_texts(authors, tokenizer, captions), encode_videos(authors, frames))
    model.train(training)
    return retrieval_metrics(scores)


def _device(system: System) -> torch.device:
    return next(system.parameters()).device
