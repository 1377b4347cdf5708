"""Dong et al.'s model, and X-Pool as a case of it, in the records that ``kernels/topk_attention`` scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from ...kernels.topk_attention.factorised import FactorisedHead, score
from ...kernels.topk_attention.layout import HeadShape
from ..bundle.ports import FRAMES
from ..bundle.spec import TensorSpec
from ..bundle.topk_attention import text_record, video_record
from ..encoders.clip import Towers
from ..encoders.clip_vision import VisionTower
from .contract import System
from .dong2026 import Dong2026


class Factorised(System):
    """The same scores as ``model``'s own, with everything that one side alone decides computed on that side.

    The scorer has no weights. See ``kernels/topk_attention/factorised.py`` for the algebra.
    """

    scorer = "topk_attention"
    attends: ClassVar[bool] = True

    def __init__(self, model: Dong2026, name: str) -> None:
        super().__init__()
        config = model.config
        # The attribute of the class is a default; X-Pool is this class under its own name.
        self.name = name  # type: ignore[misc]
        self.words = config.clip.context_length
        self.model = model
        self.head = FactorisedHead(model.pool_frames, config.frames)
        size = config.clip.image_size
        self.video_inputs = (TensorSpec(FRAMES, "uint8", (config.frames, 3, size, size)),)
        self.text_record, self.video_record = text_record(self.shape), video_record(self.shape)

    @property
    def shape(self) -> HeadShape:
        """The sizes of the scorer."""
        return self.head.shape

    @property
    def towers(self) -> Towers[VisionTower]:
        """The model's."""
        return self.model.clip

    @property
    def trained(self) -> nn.Module:
        """The model itself, without what was derived from it."""
        return self.model

    def folded(self) -> Factorised:
        """The head derived again, in the dtype that the weights have now."""
        folded = Factorised(self.model, self.name)
        folded.video_inputs = self.video_inputs
        return folded.eval()

    def encode_video(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [V, F, 3, H, W] to frame vectors [V, S, F, D], Gram tables [V, R] and unit means [V, D]."""
        visual = self.towers.visual
        embeddings, mean = self.model.finish_video(visual.embed_clips(visual.normalise(frames)))
        return (*self.head.encode_video(embeddings), mean)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids int64 [Q, W] to logit vectors [Q, D], readout vectors [Q, D] and scalars [Q, 4]."""
        return self.head.encode_text(self.model.encode_text(token_ids))

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Scores [Q, V] in [-1, 1]."""
        return self.attend(text, video)[0]

    def attend(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] and attention [Q, V, F]; see ``factorised.score``."""
        logit, readout, scalars = text
        scores, attention = score(logit, readout, scalars, video[0], video[1], self.shape)
        return scores, attention
