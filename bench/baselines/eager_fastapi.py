"""The published formula in eager PyTorch behind FastAPI: ``python -m ... FOLDER --port P``."""

from __future__ import annotations

import torch

from ...export.build import eager_model
from ...export.bundle.text import Tokenizer
from . import http_service
from .material import Material

# Videos scored at a time: intermediate results stay within the caches of most processors.
_BLOCK = 1000


def searcher(material: Material) -> http_service.Search:
    """Text tower and scores as ``kernels/topk_attention/reference.py`` has them, over stored frame embeddings."""
    model = eager_model(material.bundle).eval()
    profile = material.bundle.manifest.tokenizer
    tokenizer = Tokenizer.load(material.bundle.file(profile.merges), profile)
    blocks = torch.from_numpy(material.frames.copy()).split(_BLOCK)
    ids = material.ids

    @torch.inference_mode()
    def search(text: str, top: int) -> http_service.Found:
        embedding = model.encode_text(torch.from_numpy(tokenizer.encode([text])))
        scores = torch.cat([model.score(embedding, block)[0][0] for block in blocks])
        best = scores.topk(min(top, len(ids)))
        return [ids[row] for row in best.indices.tolist()], best.values.tolist()

    return search


if __name__ == "__main__":
    http_service.run(searcher)
