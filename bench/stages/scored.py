"""Texts and a gallery that several engines score, with float64's scores of the same numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...export.bundle.ports import SCORER
from ...export.bundle.store import Bundle
from ...serving.gallery.schema import GallerySchema
from ...serving.search.rankers import ranker_of
from ..inputs.gallery import in_memory
from ..inputs.published import Published
from ..inputs.videos import videos
from .case import EAGER, TEXTS, Engines

# Texts of the largest case.
MOST_TEXTS = max(TEXTS)

Floats = NDArray[Any]


class Scored(ABC):
    """One gallery of a bundle, and the engines over it.

    Args:
        narrow, wide: the published formula in float32 and in float64.
        ids: token ids int64 [Q, W] of the queries.
    """

    def __init__(self, narrow: Published, wide: Published, bundle: Bundle, size: int, ids: Tensor) -> None:
        system = narrow.system
        blocks = list(videos(bundle, system, size, drawn=True))
        self.record = {name: np.concatenate([block.record[name] for block in blocks]) for name in blocks[0].record}
        self._reads = {
            name: torch.from_numpy(np.concatenate([block.reads[name] for block in blocks])) for name in narrow.reads
        }
        self._text = narrow.encode(ids)
        with torch.inference_mode():
            texts = system.encode_text(ids)
        self._texts = {tensor.name: x.numpy() for tensor, x in zip(system.text_record, texts, strict=True)}
        self._narrow, self._wide, self.bundle = narrow, wide, bundle
        self._found: dict[int, Floats] = {}
        self.ranker, read = ranker_of(bundle.manifest, bundle.graph(SCORER))
        kept = [spec for spec in GallerySchema.of(bundle.manifest).record if spec.name in read]
        self.view = in_memory(bundle, self.record, kept)

    def expected(self, texts: int) -> Floats:
        """Float64's scores [Q, V] of the first ``texts`` queries; -inf outside a short list."""
        if texts not in self._found:
            reads = {name: values.double() for name, values in self._reads.items()}
            self._found[texts] = self._wide.scores(tuple(x[:texts].double() for x in self._text), reads).numpy()
        return self._found[texts]

    def scores(self, texts: int) -> Engines:
        """Engines that return scores [Q, V]; none where a search does not score every video."""
        if self._narrow.shortlisted:
            return {}
        return {**self.scorers(texts), EAGER: lambda: self._formula(texts).numpy()}

    def best(self, texts: int, top: int) -> Engines:
        """Engines that return scores and rows [Q, top]."""
        return {**self.searches(texts, top), EAGER: lambda: best_of(self._formula(texts), top)}

    @abstractmethod
    def scorers(self, texts: int) -> Engines:
        """framesift's engines of ``scores``."""

    @abstractmethod
    def searches(self, texts: int, top: int) -> Engines:
        """framesift's engines of ``best``."""

    def texts(self, count: int) -> dict[str, Floats]:
        """The records of the first queries."""
        return {name: values[:count] for name, values in self._texts.items()}

    def _formula(self, texts: int) -> Tensor:
        return self._narrow.scores(tuple(x[:texts] for x in self._text), self._reads)


def best_of(scores: Tensor, top: int) -> tuple[Floats, Floats]:
    """Scores and rows of the ``top`` best of each query, by PyTorch."""
    found = scores.topk(top)
    return found.values.numpy(), found.indices.numpy()
