"""What the systems share that are built on CLIP: towers under ``clip``, which tell what a checkpoint's sizes are."""

from __future__ import annotations

from typing import Generic

import torch
from torch import Tensor

from ..encoders.clip import Towers, Vision
from .contract import System


class ClipSystem(System, Generic[Vision]):
    """A system whose two towers lie under ``clip``."""

    clip: Towers[Vision]

    def standardise(self, frames: Tensor) -> Tensor:
        """As ``System.standardise``, with the vision tower's mean and deviation."""
        return self.clip.visual.standardise(frames)

    @property
    def embed_dim(self) -> int:
        """The width of both towers' embeddings."""
        return self.clip.text_projection.shape[1]

    @property
    def vocab_size(self) -> int:
        """As ``System.vocab_size``."""
        return self.clip.token_embedding.num_embeddings

    @property
    def text_positions(self) -> int:
        """As ``System.text_positions``."""
        return self.clip.positional_embedding.shape[0]

    def random_token_ids(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """As ``System.random_token_ids``; the end token is the largest id of the vocabulary."""
        end = self.vocab_size - 1
        ids = torch.randint(1, end - 1, (rows, length), generator=generator)
        at = torch.randint(1, length, (rows, 1), generator=generator)
        places = torch.arange(length)
        return torch.where(places < at, ids, torch.where(places == at, end, 0))
