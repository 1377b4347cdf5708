"""The text encoder at the texts' own length against always running at 77 tokens.

CLIP ViT-B/32's text tower (width 512, 12 layers) through ONNX Runtime on one thread. The floor is the tower's work: a
layer's matrix products grow with the length L, its attention with L squared, so 16 tokens cost 16/77 of 77 tokens or
less, 4.8 times fewer operations.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from framesift.bench.inputs.models import VIT_B32, system_of
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.ports import TEXT_ENCODER, TOKEN_IDS
from framesift.export.bundle.text.merges_file import clip_merges
from framesift.export.bundle.text.tokenizers import load_tokenizer

if TYPE_CHECKING:
    import onnxruntime as ort

CAPTIONS = [
    "a man is driving a car down a dirt road",
    "two women are talking in a kitchen",
    "a cartoon dog chases a ball across the lawn",
    "someone folds a paper plane",
]
LENGTHS = (16, 32, 77)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    import torch

    from framesift.export.bundle.sessions import cpu_session
    from framesift.export.graphs import graphs, ports
    from framesift.export.onnx import write_graph

    model = system_of(VIT_B32)
    path: Path = tmp_path_factory.mktemp("graphs") / "text_encoder.onnx"
    example = model.random_token_ids(3, 7, torch.Generator().manual_seed(0))
    write_graph(graphs(model)[TEXT_ENCODER], (example,), ports(model)[TEXT_ENCODER], path)
    return cpu_session(path, threads=1)


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("length", LENGTHS)
def bench_text_encoder(
    length: int, batch: int, session: ort.InferenceSession, benchmark: Any, compared: Callable[..., None]
) -> None:
    tokenizer = load_tokenizer(TokenizerProfile(files=(clip_merges().name,), buckets=LENGTHS), clip_merges().parent)
    ids = tokenizer.encode([CAPTIONS[i % len(CAPTIONS)] for i in range(batch)])
    assert ids.shape == (batch, 16)
    padded = np.zeros((batch, length), np.int64)
    padded[:, :16] = ids
    full = np.zeros((batch, 77), np.int64)
    full[:, :16] = ids
    # Speed counts only if the result is the same.
    for want, got in zip(*(session.run(None, {TOKEN_IDS: x}) for x in (full, padded)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    compared(benchmark, group=f"text encoder, batch {batch}", case=f"{length} tokens", baseline="77 tokens")
    benchmark.pedantic(session.run, (None, {TOKEN_IDS: padded}), rounds=15 if batch == 1 else 5, warmup_rounds=1)
