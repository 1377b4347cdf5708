"""What services that are compared must agree in."""

from __future__ import annotations

import numpy as np
import torch

from framesift.bench.baselines.engines import Engines
from framesift.bench.inputs.corpus import Corpus


def equal_results(corpus: Corpus, tie: float) -> None:
    """framesift's engines rank as the published formula, up to ties of ``tie`` times the largest score."""
    engines, texts = Engines(corpus), corpus.queries[:9]
    text = corpus.published.encode(torch.from_numpy(engines.tokenizer.encode(texts)))
    expected = corpus.published.scores(text, corpus.videos, block=33).numpy()
    tie *= max(1.0, np.abs(expected[np.isfinite(expected)]).max())
    for ranked, row in zip(engines.search(texts, 10), expected, strict=True):
        np.testing.assert_allclose(ranked.scores, np.sort(row)[::-1][:10], atol=tie)
        np.testing.assert_allclose(row[ranked.rows], ranked.scores, atol=tie)
