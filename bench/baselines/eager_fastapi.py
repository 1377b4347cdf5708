"""The published formula in eager PyTorch behind FastAPI: ``python -m ... FOLDER --port P``."""

from __future__ import annotations

import torch

from ..inputs.corpus import Corpus
from . import http_service


def searcher(corpus: Corpus) -> http_service.Search:
    """Text tower and scores as the authors have them, over what their formula reads of every video."""
    tokenizer = corpus.bundle.tokenizer()
    published, videos, ids = corpus.published, corpus.videos, corpus.ids

    def search(text: str, top: int) -> http_service.Found:
        scores = published.scores(published.encode(torch.from_numpy(tokenizer.encode([text]))), videos)[0]
        best = scores.topk(min(top, len(ids)))
        return [ids[row] for row in best.indices.tolist()], best.values.tolist()

    return search


if __name__ == "__main__":
    http_service.run(searcher)
