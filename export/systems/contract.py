"""What every published system gives: three functions, and the named tensors that travel between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from ..bundle.spec import TensorSpec
from ..encoders.clip import Towers
from ..encoders.clip_vision import VisionTower


class System(nn.Module, ABC):
    """A published system with its authors' weights.

    The scores of a pair depend on that pair's records alone. ``video_inputs``, ``text_record`` and ``video_record`` are
    in the order of the functions' arguments and results; their dims leave out the batch.
    """

    name: ClassVar[str]
    # The folder in kernels/ that reads the records.
    scorer: ClassVar[str]
    # Whether the score weighs the frames, so that ``attend`` tells how much each of them counted.
    attends: ClassVar[bool] = False
    # Whether every token position takes part, so that a text must have exactly ``words`` of them.
    whole_text: ClassVar[bool] = False
    # Token positions of every text; a text encoder that reads only up to the end token takes fewer as well.
    words: int
    video_inputs: tuple[TensorSpec, ...]
    text_record: tuple[TensorSpec, ...]
    video_record: tuple[TensorSpec, ...]

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
        """Text records [Q, ...] and video records [V, ...] to scores [Q, V], by which the authors rank.

        Tensors that are not ``scored`` may be left out at the end of either record.
        """

    def attend(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] and how much each frame counted [Q, V, F], where the system ``attends``."""
        raise NotImplementedError(f"{self.name} has no weight for a frame")

    @property
    def trained(self) -> nn.Module:
        """The module whose state_dict is the checkpoint's."""
        return self

    def folded(self) -> System:
        """A system of the same scores in which what depends on the weights alone has been computed, in their dtype.

        To be called after the last cast; this one stays as it is.
        """
        return self

    @property
    def towers(self) -> Towers[VisionTower]:
        """Both towers, which every system calls ``clip``."""
        return cast("Towers[VisionTower]", self.clip)

    @property
    def frames(self) -> int:
        """F, the frames that a video is encoded from."""
        return self.video_inputs[0].shape[0]

    @property
    def vocab_size(self) -> int:
        """How many tokens the text tower knows."""
        return self.towers.token_embedding.num_embeddings


def unit(x: Tensor) -> Tensor:
    """``x`` divided by the length of its last axis, without an epsilon."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length
