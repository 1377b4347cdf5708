"""What systems share whose texts are word pieces: sizes of the text side, random texts, and a dual encoder's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ...kernels.dot.reference import dot
from ..bundle.scorers import DOT
from ..encoders.pixels import Pixels
from .bert import random_texts
from .contract import System


class TextSizes(Protocol):
    """What the weights show of the text side."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def positions(self) -> int: ...


class WordPieceSystem(System):
    """A system whose token ids are word pieces, 0 for padding.

    Attributes:
        text_sizes: of the table of pieces and of that of positions.
    """

    text_sizes: TextSizes

    @property
    def vocab_size(self) -> int:
        """As ``System.vocab_size``."""
        return self.text_sizes.vocab_size

    @property
    def text_positions(self) -> int:
        """As ``System.text_positions``."""
        return self.text_sizes.positions

    def random_token_ids(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """As ``System.random_token_ids``; what is not 0 counts."""
        return random_texts(self.vocab_size, rows, length, generator)


class WordPieceDual(WordPieceSystem):
    """One vector a side, compared by the dot product, and frames that are normalised by ``pixels``."""

    scorer = DOT
    pixels: Pixels

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])

    def standardise(self, frames: Tensor) -> Tensor:
        """As ``System.standardise``, with the authors' mean and deviation."""
        return self.pixels.standardise(frames)
