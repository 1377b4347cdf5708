"""CLIP4Clip (Luo et al., 2021): four ways to compare a text with a video's frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...kernels.cross_encoder.reference import CrossEncoder, score_all, score_pairs
from ...kernels.dot.reference import dot
from ..bundle.ports import (
    FRAME_MASK,
    MEAN_EMBEDDING,
    PLACED_FRAMES,
    PLACED_TEXT,
    TEXT_EMBEDDING,
    VIDEO_EMBEDDING,
)
from ..bundle.scorers import CROSS_ENCODER, DOT
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig
from ..encoders.clip_vision import VisionTower
from ..encoders.temporal import temporal_transformer
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, with_clip
from .clip4clip_base import (
    HEADER_HEADS,
    LENGTH_OPTIONS,
    PREPROCESSING,
    SHOWN,
    SMALL_HEADER,
    Clip4ClipBase,
    Clip4ClipConfig,
    clip_towers,
    infer_header,
    masked_mean,
    unused,
)
from .contract import unit


class Clip4Clip(Clip4ClipBase[VisionTower]):
    """Headers meanP, seqLSTM and seqTransf: one vector a side, ``exp(logit_scale)`` times their cosine."""

    name = "clip4clip"
    scorer = DOT

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config, clip_towers(config))
        width = config.clip.embed_dim
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (width,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (width,)),)

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> tuple[Tensor]:
        """Frames [V, F, 3, H, W] and mask [V, F] to unit vectors [V, D]."""
        return self.pool(self.embed_frames(frames, mask), mask)

    def pool(self, raw: Tensor, mask: Tensor | None = None) -> tuple[Tensor]:
        """Raw frame embeddings [V, F, D] and mask [V, F] to unit vectors [V, D]."""
        return (masked_mean(self.through_time(raw, mask), mask),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to vectors [Q, D] of length exp(logit_scale)."""
        return self.finish_text(self.clip(token_ids))

    def finish_text(self, raw: Tensor) -> tuple[Tensor]:
        """Raw text embeddings [Q, D] to the record."""
        return (self.scale() * unit(raw),)

    def text_length(self) -> Tensor:
        """The temperature's inverse."""
        return self.scale()

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])


class Clip4ClipTight(Clip4ClipBase[VisionTower]):
    """Header tightTransf: a transformer reads the text and the frames of a pair. Raw embeddings, no temperature."""

    name = "clip4clip"
    scorer = CROSS_ENCODER

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config, clip_towers(config))
        width = config.clip.embed_dim
        blocks = temporal_transformer(width, config.layers, config.heads)
        self.cross = CrossEncoder(width, blocks, positions=config.positions)
        self.similarity_dense = nn.Linear(width, 1)
        # Ranking every video with a transformer is out of reach, so a record also holds what chooses a short list.
        self.text_record = (
            TensorSpec(PLACED_TEXT, "float32", (width,)),
            TensorSpec(TEXT_EMBEDDING, "float32", (width,), scored=False),
        )
        self.video_record = (
            TensorSpec(PLACED_FRAMES, "float32", (config.frames, width)),
            TensorSpec(FRAME_MASK, "float32", (config.frames,)),
            TensorSpec(MEAN_EMBEDDING, "float32", (width,), scored=False),
        )

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [V, F, 3, H, W] and mask [V, F] to placed frame embeddings [V, F, D], the mask, and unit means."""
        return self.pool(self.embed_frames(frames, mask), mask)

    def pool(self, raw: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Raw frame embeddings [V, F, D] and mask [V, F] to the record."""
        mask = raw.new_ones(raw.shape[:2]) if mask is None else mask.to(raw.dtype)
        return self.cross.place_frames(raw), mask, masked_mean(raw, mask)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids int64 [Q, W] to placed and to unit text embeddings [Q, D]."""
        return self.finish_text(self.clip(token_ids))

    def finish_text(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Raw text embeddings [Q, D] to the record."""
        return self.cross.place_text(raw), unit(raw)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Every pair of a short list; see ``kernels/cross_encoder``."""
        frames, mask = video[:2]
        return score_all(self.cross, self.similarity_dense, text[0], frames, mask)

    def score_pairs(self, text: Sequence[Tensor], video: Sequence[Tensor], pairs: Tensor) -> Tensor:
        """Scores [N] of the rows (query, video) of ``pairs``, int64 [N, 2]."""
        frames, mask = video[:2]
        return score_pairs(self.cross, self.similarity_dense, text[0], frames, mask, pairs)


def build(clip: ClipConfig, options: Mapping[str, Any]) -> Clip4Clip | Clip4ClipTight:
    """The module of all options, with random weights."""
    config = Clip4ClipConfig(**with_clip(clip, options))
    return Clip4ClipTight(config) if config.header == "tightTransf" else Clip4Clip(config)


CLIP4CLIP = SystemCard(
    name="clip4clip",
    title="CLIP4Clip",
    signs=(Sign("clip.visual.", "it has CLIP's towers and no other system's sign"),),
    infer=infer_header,
    options=(*LENGTH_OPTIONS, HEADER_HEADS, VISION_HEADS, TEXT_HEADS),
    shown={**SHOWN, "patch3d": Clip4ClipConfig.patch3d},
    build=build,
    preprocessing=PREPROCESSING,
    unused=unused,
    sizes=VIT_B_32,
    lengths=((12, 32), (64, 64)),
    code="ArrowLuo/CLIP4Clip",
    checkpoints="none linked",
    examples=(
        Example("meanP", SMALL),
        Example("meanP 3d", SMALL, {"patch3d": True}),
        Example("seqLSTM", SMALL, {"header": "seqLSTM"}),
        Example("seqTransf", SMALL, {"header": "seqTransf"}, SMALL_HEADER),
        Example("tightTransf", SMALL, {"header": "tightTransf"}, SMALL_HEADER),
    ),
)
