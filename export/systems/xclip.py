"""X-CLIP (Ma et al., ACM MM 2022): videos and frames compared with sentences and words, on CLIP4Clip's towers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from ...kernels.multi_grained.reference import Matrices, TextRecord, VideoRecord, multi_grained
from ..bundle.ports import (
    FRAME_EMBEDDINGS,
    MIXED_TEXT_EMBEDDING,
    MIXED_WORD_EMBEDDINGS,
    TEXT_EMBEDDING,
    VIDEO_EMBEDDING,
    WORD_EMBEDDINGS,
)
from ..bundle.scorers import MULTI_GRAINED
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig
from ..encoders.clip_text import at_end
from ..encoders.clip_vision import VisionTower
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, with_clip
from .clip4clip_base import (
    HEADER_HEADS,
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
from .weights import Weights


class XClip(Clip4ClipBase[VisionTower]):
    """Word positions and frames are fixed by the weights, and padding takes part on both sides.

    So a text must have exactly ``max_tokens`` positions, zeros behind its end token, and a video ``frames`` frames.
    """

    name = "xclip"
    scorer = MULTI_GRAINED

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config, clip_towers(config))
        width, words, frames = config.clip.embed_dim, config.max_tokens, config.frames
        self.global_mat_weight = nn.Parameter(torch.eye(width))
        self.local_mat_weight = nn.Parameter(torch.eye(width))
        self.word_logit_weight = nn.Parameter(torch.eye(words))
        self.word_mat_weight = nn.Parameter(torch.eye(words))
        self.word_mat_weight2 = nn.Parameter(torch.eye(words))
        self.frame_logit_weight = nn.Parameter(torch.eye(frames))
        self.frame_mat_weight = nn.Parameter(torch.eye(frames))
        self.frame_mat_weight2 = nn.Parameter(torch.eye(frames))
        self.text_record = (
            TensorSpec(TEXT_EMBEDDING, "float32", (width,)),
            TensorSpec(MIXED_TEXT_EMBEDDING, "float32", (width,)),
            TensorSpec(WORD_EMBEDDINGS, "float32", (words, width)),
            TensorSpec(MIXED_WORD_EMBEDDINGS, "float32", (words, width)),
        )
        self.video_record = (
            TensorSpec(VIDEO_EMBEDDING, "float32", (width,)),
            TensorSpec(FRAME_EMBEDDINGS, "float32", (frames, width)),
        )

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> VideoRecord:
        """Frames [V, F, 3, H, W] and mask [V, F] to the unit vectors of videos and frames."""
        return self.pool(self.embed_frames(frames, mask), mask)

    def pool(self, raw: Tensor, mask: Tensor | None = None) -> VideoRecord:
        """Raw frame embeddings [V, F, D] and mask [V, F] to the record, whose frames are the tower's own."""
        return VideoRecord(masked_mean(self.through_time(raw, mask), mask), unit(raw))

    def encode_text(self, token_ids: Tensor) -> TextRecord:
        """Token ids int64 [Q, W] to the text record.

        Raises:
            ValueError: W is not that of the weights.
        """
        if token_ids.shape[1] != self.max_tokens:
            raise ValueError(
                f"the texts have {token_ids.shape[1]} token positions, the weights are for exactly {self.max_tokens}: "
                "cut or pad them with zeros"
            )
        positions = self.clip.embed_positions(token_ids)
        return self.finish_text(at_end(positions, token_ids), positions)

    def finish_text(self, sentence: Tensor, positions: Tensor) -> TextRecord:
        """Raw embeddings of the end token [Q, D] and of every position [Q, W, D] to the record."""
        sentence, words = unit(sentence), unit(positions)
        return TextRecord(sentence, sentence @ self.global_mat_weight, words, words @ self.local_mat_weight)

    @property
    def like_inputs(self) -> tuple[TensorSpec, ...]:
        """Both tensors, if a text has as many positions as a video has frames."""
        return self.video_record if self.frames <= self.max_tokens else ()

    def encode_like(self, *video: Tensor) -> TextRecord:
        """Unit vectors of videos [B, D] and frames [B, F, D] to a text's: the video stands for the sentence, frames
        for words, and the rest of the positions is zeros, which weigh next to nothing.
        """
        sentence, frames = unit(video[0]), video[1]
        words = nnf.pad(frames, (0, 0, 0, self.max_tokens - self.frames))
        return TextRecord(sentence, sentence @ self.global_mat_weight, words, words @ self.local_mat_weight)

    def matrices(self) -> Matrices:
        """The scorer's weights."""
        return Matrices(
            self.word_logit_weight,
            self.frame_logit_weight,
            self.word_mat_weight,
            self.frame_mat_weight,
            self.frame_mat_weight2,
            self.word_mat_weight2,
        )

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/multi_grained``."""
        return multi_grained(TextRecord(*text), VideoRecord(*video), self.matrices(), self.scale())


def infer(weights: Weights) -> ClipConfig:
    """What the weights show: all but the heads."""
    clip = infer_header(weights)
    if weights.found["header"] == "tightTransf":
        raise weights.unfit("it has cross and no other header, with which X-CLIP has no score")
    for name, key in (("max_tokens", "word_logit_weight"), ("frames", "frame_logit_weight")):
        count = weights.shape(key, 2)[0]
        weights.read(name, count, f"{key} is [{count}, {count}]")
    return clip


XCLIP = SystemCard(
    name="xclip",
    title="X-CLIP",
    signs=(Sign("global_mat_weight", "it has X-CLIP's global_mat_weight"),),
    infer=infer,
    options=(replace(HEADER_HEADS, what="of seqTransf"), VISION_HEADS, TEXT_HEADS),
    shown={
        **SHOWN,
        "header": "seqTransf",
        "patch3d": Clip4ClipConfig.patch3d,
        "frames": Clip4ClipConfig.frames,
        "max_tokens": Clip4ClipConfig.max_tokens,
    },
    build=lambda clip, options: XClip(Clip4ClipConfig(**with_clip(clip, options))),
    preprocessing=PREPROCESSING,
    unused=unused,
    sizes=VIT_B_32,
    lengths=((12, 32), (64, 64)),
    code="xuguohai/X-CLIP",
    checkpoints="none linked",
    examples=(Example("", SMALL, small=SMALL_HEADER),),
)
