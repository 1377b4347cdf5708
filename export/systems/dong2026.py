"""Dong et al. (2026): CLIP towers, temporal encoding, text-conditioned attention over the top-K frames.

With ``top_k`` equal to ``frames`` and no temporal encoding this is X-Pool, and its state_dict loads as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.topk_attention import factorised
from ...kernels.topk_attention.layout import HeadShape
from ...kernels.topk_attention.like import own_text
from ...kernels.topk_attention.reference import TopKAttention
from ..bundle.manifest import FrameProfile
from ..bundle.ports import FRAME_EMBEDDINGS, FRAME_VECTORS, MEAN_EMBEDDING, TEXT_EMBEDDING
from ..bundle.scorers import TOPK_ATTENTION
from ..bundle.spec import TensorSpec
from ..bundle.storages import BIASES
from ..bundle.topk_attention import text_record, video_record
from ..encoders.clip import VIT_B_32, Clip, ClipConfig
from ..encoders.clip_vision import VisionTower
from ..encoders.temporal import TEMPORAL, Temporal, encode_time, temporal_transformer
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, ClipSystem, read_towers, with_clip
from .contract import PluginNode, pixels, unit
from .options import FRAME_COUNT, HEADS, TOP_K
from .preprocessing import Preprocessing
from .weights import Weights


@dataclass(frozen=True)
class Dong2026Config:
    """The reference model's options; the defaults are the paper's ViT-B/32 setting."""

    frames: int = 12
    top_k: int = 4
    heads: int = 1
    temporal: Temporal = "positional"
    temporal_layers: int = 4
    clip: ClipConfig = field(default_factory=lambda: VIT_B_32)

    def __post_init__(self) -> None:
        if not 1 <= self.top_k <= self.frames:
            raise ValueError(f"top_k is {self.top_k}, it must lie between 1 and the number of frames, {self.frames}")
        if self.temporal not in TEMPORAL:
            raise ValueError(f"temporal is {self.temporal!r}, it must be one of {', '.join(TEMPORAL)}")
        if self.heads < 1 or self.clip.embed_dim % self.heads:
            raise ValueError(f"{self.heads} heads don't divide the embedding width {self.clip.embed_dim}")

    def options(self) -> dict[str, Any]:
        """Options that the weights' shapes don't show, and some that they do, for the reader."""
        values = asdict(self)
        return {key: values[key] for key in ("frames", "top_k", "heads", "temporal", "temporal_layers")}


class Dong2026(ClipSystem[VisionTower]):
    """The reference model. ``clip`` and ``pool_frames`` carry X-Pool's names.

    Everything that depends on one side alone is computed on that side, so that the scorer has no weights; the scores
    are the published formula's. See ``kernels/topk_attention/factorised.py`` for the algebra.
    """

    name = "dong2026"
    scorer = TOPK_ATTENTION
    clip: Clip
    temporal_encoding: Tensor | None
    _folded_head: factorised.FactorisedHead | None

    def __init__(self, config: Dong2026Config, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.max_tokens = config.clip.context_length
        width, size = config.clip.embed_dim, config.clip.image_size
        self.clip = Clip(config.clip)
        encoding = None if config.temporal == "none" else nn.Parameter(0.02 * torch.randn(config.frames, width))
        self.register_parameter("temporal_encoding", encoding)
        self.transformerClip = (
            temporal_transformer(width, config.temporal_layers) if config.temporal == "transformer" else None
        )
        self.pool_frames = TopKAttention(width, heads=config.heads, top_k=config.top_k, dropout=dropout)
        self.register_module("_folded_head", None)
        self.shape = HeadShape(config.frames, width, config.top_k, config.heads)
        self.video_inputs = (pixels(config.frames, size),)
        self.text_record, self.video_record = text_record(self.shape), video_record(self.shape)

    @property
    def head(self) -> factorised.FactorisedHead:
        """What the weights of ``pool_frames`` leave on either side; made anew at every call unless ``folded``."""
        return self._folded_head or factorised.FactorisedHead(self.pool_frames, self.config.frames)

    def folded(self) -> Dong2026:
        """With the head derived in the dtype that the weights have now."""
        folded = self.sharing_weights()
        folded._folded_head = factorised.FactorisedHead(self.pool_frames, self.config.frames)
        return folded

    @property
    def published(self) -> PublishedDong2026:
        """The formula of the paper, which reads raw text embeddings and frame embeddings."""
        return PublishedDong2026(self)

    @property
    def search_options(self) -> dict[str, list[float]]:
        """What int8 storage proves its answers by."""
        return {BIASES: [float(value) for value in self.head.biases.detach().double()]}

    @property
    def plugin_node(self) -> PluginNode:
        """``kernels/topk_attention/tensorrt_plugin.py`` has the kernel."""
        return plugin_node(self.shape)

    def encode_video(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [V, F, 3, H, W] to frame vectors [V, S, F, D], Gram tables [V, R] and unit means [V, D]."""
        vectors, table, mean = self.reduce_video(self.published.encode_video(frames))
        return vectors, table, mean

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids int64 [Q, W] to logit vectors [Q, D], readout vectors [Q, D] and scalars [Q, 4]."""
        return self.reduce_text((self.clip(token_ids),))

    def reduce_text(self, published: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Raw text embeddings [Q, D] to the record."""
        return self.head.encode_text(published[0])

    def reduce_video(self, published: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Frame embeddings [V, F, D] with the temporal encoding applied, and means [V, D], to the record."""
        frames, *mean = published
        return (*self.head.encode_video(frames), *mean)

    def finish_video(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Raw frame embeddings [V, F, D] to what the published formula reads.

        Returns:
            Frame embeddings [V, F, D] with the temporal encoding applied, and the unit-length mean [V, D] of the
            raw ones, each first normalised (CLIP4Clip's meanP).
        """
        return self.encode_time(raw), unit(unit(raw).mean(-2))

    def encode_time(self, raw: Tensor) -> Tensor:
        """Raw frame embeddings [V, F, D] to those with the temporal encoding applied [V, F, D]."""
        return encode_time(raw, self.temporal_encoding, self.transformerClip)

    @property
    def like_inputs(self) -> tuple[TensorSpec, ...]:
        """The frame vectors."""
        return self.video_record[:1]

    def encode_like(self, *video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frame vectors [B, S, F, D] to the record of a text; see ``kernels/topk_attention/like.py``."""
        return self.head.encode_text(own_text(self.pool_frames, video[0]))

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Scores [Q, V] in [-1, 1]."""
        return self.attend(text, video)[0]

    def attend(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] and attention [Q, V, F]; see ``factorised.score``."""
        logit, readout, scalars = text
        return factorised.score(logit, readout, scalars, video[0], video[1], self.shape)


class PublishedDong2026(ClipSystem[VisionTower]):
    """The reference model by the formula of its paper, with the weights of ``system``."""

    name = "dong2026"
    scorer = TOPK_ATTENTION

    def __init__(self, system: Dong2026) -> None:
        super().__init__()
        width = system.embed_dim
        self.system, self.clip = system, system.clip
        self.max_tokens, self.video_inputs = system.max_tokens, system.video_inputs
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (width,)),)
        self.video_record = (
            TensorSpec(FRAME_EMBEDDINGS, "float32", (system.frames, width)),
            TensorSpec(MEAN_EMBEDDING, "float32", (width,), scored=False),
        )

    def encode_video(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [V, F, 3, H, W] to frame embeddings [V, F, D] with the temporal encoding, and unit means [V, D]."""
        visual = self.clip.visual
        return self.system.finish_video(visual.embed_clips(visual.normalise(frames)))

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to raw text embeddings [Q, D]."""
        return (self.clip(token_ids),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Scores [Q, V] in [-1, 1]."""
        return self.attend(text, video)[0]

    def attend(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] and attention [Q, V, F]; see ``kernels/topk_attention/reference.py``."""
        scores, attention = self.system.pool_frames(text[0], video[0])
        return scores, attention


def plugin_node(shape: HeadShape) -> PluginNode:
    """The node of a scorer of that shape."""
    sizes = {"frames": shape.frames, "top_k": shape.top_k, "heads": shape.heads, "width": shape.width}
    return PluginNode("TopKAttention", sizes, FRAME_VECTORS)


def infer(weights: Weights) -> ClipConfig:
    """What the weights show; without a temporal encoding they show no frames."""
    clip = read_towers(weights)
    timed = "temporal_encoding" in weights.state
    if timed:
        weights.read("frames", weights.shape("temporal_encoding", 2)[0], "rows of temporal_encoding")
    layers = weights.count("transformerClip.resblocks.")
    if layers:
        weights.read("temporal", "transformer", "there is transformerClip")
        weights.read("temporal_layers", layers, "blocks under transformerClip.resblocks")
    elif timed:
        weights.read("temporal", "positional", "there is temporal_encoding and no transformerClip")
    else:
        weights.read("temporal", "none", "there is no temporal_encoding")
    return clip


ATTENTION_HEADS = replace(HEADS, why="the attention's heads are not in the weights", what="of the attention")
DONG2026 = SystemCard(
    name="dong2026",
    title="Dong et al. 2026",
    signs=(
        Sign("temporal_encoding", "it has the reference model's temporal_encoding"),
        # X-Pool keeps every frame: who chooses K has the reference model, of which it is a case.
        Sign("pool_frames.", "it has X-Pool's pool_frames, and top_k is given", given="top_k"),
    ),
    infer=infer,
    options=(
        replace(
            TOP_K,
            default=lambda clip, found: min(Dong2026Config.top_k, found.get("frames", Dong2026Config.frames)),
            why="how many frames the attention keeps is not in the weights",
        ),
        ATTENTION_HEADS,
        replace(FRAME_COUNT, what="where there is no temporal encoding"),
        VISION_HEADS,
        TEXT_HEADS,
    ),
    shown={"temporal": Dong2026Config.temporal},
    build=lambda clip, options: Dong2026(Dong2026Config(**with_clip(clip, options))),
    preprocessing=Preprocessing(FrameProfile(sampler="uniform_middle", resize="pil_bicubic", missing="repeat")),
    sizes=VIT_B_32,
    lengths=((12, 77),),
    examples=(
        Example("positional", SMALL),
        Example("none", SMALL, {"temporal": "none", "top_k": Dong2026Config.top_k}),
    ),
)
