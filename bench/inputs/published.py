"""A search as the authors' code makes it: the text encoder and the published formula in eager PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import MEAN_EMBEDDING, TEXT_EMBEDDING
from ...export.bundle.scorers import shortlist_size
from ...export.systems.contract import System

# Videos scored at a time: intermediate results stay within the caches of most processors.
BLOCK = 1000


class Published:
    """A system's own way from token ids to scores.

    Text-conditioned attention is computed from frame embeddings as its paper has it, and not from the records that
    framesift keeps instead; the records of other systems are what their formulas read. A cross-encoder,
    too slow for every video, scores a short list chosen by the dot product of the unit embeddings, as it is served.
    """

    def __init__(self, system: System, manifest: Manifest) -> None:
        self.system, self._authors = system, system.published
        self._shortlist = shortlist_size(manifest)

    @property
    def shortlisted(self) -> bool:
        """Whether a short list alone is scored."""
        return self._shortlist is not None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of what the formula reads of every video."""
        first = {MEAN_EMBEDDING} if self.shortlisted else set()
        return tuple(tensor.name for tensor in self._authors.video_record if tensor.scored or tensor.name in first)

    @torch.inference_mode()
    def encode(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Token ids int64 [Q, W] to what the formula reads of a text."""
        return self._authors.encode_text(ids)

    @torch.inference_mode()
    def scores(self, text: tuple[Tensor, ...], videos: Mapping[str, Tensor], block: int = BLOCK) -> Tensor:
        """Scores [Q, V] of encoded texts and of all videos, ``reads`` by name; -inf outside a short list."""
        if self.shortlisted:
            return torch.cat([self._of_a_short_list(tuple(x[q : q + 1] for x in text), videos) for q in _rows(text)])
        parts = zip(*(videos[name].split(block) for name in self.reads), strict=True)
        return torch.cat([self._authors.score(text, part) for part in parts], dim=1)

    def _of_a_short_list(self, text: tuple[Tensor, ...], videos: Mapping[str, Tensor]) -> Tensor:
        embedding = dict(zip((tensor.name for tensor in self._authors.text_record), text, strict=True))[TEXT_EMBEDDING]
        first = (embedding @ videos[MEAN_EMBEDDING].T)[0]
        rows = first.topk(min(self._shortlist or 0, len(first))).indices
        scores = torch.full_like(first, -torch.inf)[None]
        scores[0, rows] = self._authors.score(text, [videos[name][rows] for name in self.reads])[0]
        return scores


def _rows(text: tuple[Tensor, ...]) -> range:
    return range(len(text[0]))
