"""Transformers' CLIP, mean pooling and FAISS behind FastAPI: ``python -m ... FOLDER --port P``."""

from __future__ import annotations

import faiss
import numpy as np

from ...export.bundle.errors import BundleError
from ...export.bundle.text.merges_file import read_merges
from ...export.systems.clip import ClipSystem
from ..inputs.corpus import Corpus
from . import http_service
from .hugging_face import clip_tokenizer, text_features, text_model


def searcher(corpus: Corpus) -> http_service.Search:
    """Text features of transformers' CLIP at all its positions, 77 as a rule, and the nearest means in IndexFlatIP."""
    system = corpus.published.system
    if not isinstance(system, ClipSystem):
        raise BundleError(f"{system.name} has no text tower of CLIP to compare with")
    tower = system.clip
    words = len(tower.positional_embedding)
    model = text_model(tower)
    tokenizer = clip_tokenizer(list(read_merges(corpus.bundle.file(corpus.bundle.manifest.tokenizer.files[0]))))
    index = faiss.IndexFlatIP(corpus.means.shape[1])
    index.add(np.ascontiguousarray(corpus.means))
    ids = corpus.ids

    def search(text: str, top: int) -> http_service.Found:
        features = text_features(model, tokenizer, [text], words)
        unit = features / features.norm(dim=-1, keepdim=True)
        scores, rows = index.search(unit.numpy(), min(top, len(ids)))
        return [ids[row] for row in rows[0].tolist()], scores[0].tolist()

    return search


if __name__ == "__main__":
    http_service.run(searcher)
