"""What every published system gives: three functions, and the named tensors that travel between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class RecordTensor:
    """One named tensor of a record or input; ``dims`` leave out the leading batch. ``dtype`` is a numpy name."""

    name: str
    dims: tuple[int, ...]
    dtype: str = "float32"


class System(nn.Module, ABC):
    """A published system with its authors' weights.

    The scores of a pair depend on that pair's records alone. ``video_inputs``, ``text_record`` and ``video_record`` are
    in the order of the functions' arguments and results.
    """

    name: ClassVar[str]
    # The folder in kernels/ that reads the records.
    scorer: ClassVar[str]
    # Token positions of every text; a text encoder that reads only up to the end token takes fewer as well.
    words: int
    video_inputs: tuple[RecordTensor, ...]
    text_record: tuple[RecordTensor, ...]
    video_record: tuple[RecordTensor, ...]

    @abstractmethod
    def encode_video(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Frames [V, F, 3, H, W], uint8 RGB or floating and already normalised, and what else ``video_inputs`` names.

        Returns:
            The video record.
        """

    @abstractmethod
    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, ...]:
        """Token ids int64 [Q, W] to the text record."""

    @abstractmethod
    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Text records [Q, ...] and video records [V, ...] to scores [Q, V], by which the authors rank."""


def unit(x: Tensor) -> Tensor:
    """``x`` divided by the length of its last axis, without an epsilon."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length
