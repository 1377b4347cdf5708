"""Frozen in Time (Bain et al., ICCV 2021): a space-time transformer for clips and a DistilBERT for texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ..bundle.manifest import FrameProfile
from ..bundle.ports import MASK, TEXT_EMBEDDING, VIDEO_EMBEDDING
from ..bundle.spec import TensorSpec
from ..encoders.bert import Bert, BertConfig
from ..encoders.distilbert import DistilBert
from ..encoders.heads import usual_heads
from ..encoders.pixels import IMAGENET, Pixels
from ..encoders.space_time import SpaceTimeVit, VitConfig
from .bert import SMALL_BERT, TEXT_HEADS, TOKENS, bert_sizes, described
from .card import Example, Sign, SystemCard
from .contract import pixels
from .options import FRAME_COUNT, Option
from .preprocessing import Preprocessing
from .weights import Weights
from .word_pieces import WordPieceDual

Projection = Literal["minimal", "linear", "none"]
# The authors' lower bound of a norm.
SHORTEST = 1e-8


@dataclass(frozen=True)
class FrozenConfig:
    """Sizes of both towers and of the space in which they meet.

    Attributes:
        distilled: whether the text tower is a DistilBERT, read at its first token, or a BERT, read at its pooler.
        projection: how both become as wide as one another: ``minimal``, before which negative numbers of a text become
            zeros, as the authors' code has it; ``linear``, without that; or ``none``, their other one.
    """

    text: BertConfig = field(default_factory=lambda: BertConfig(layers=6, types=0))
    vision: VitConfig = field(default_factory=VitConfig)
    embed_dim: int = 256
    distilled: bool = True
    projection: Projection = "minimal"


class Frozen(WordPieceDual):
    """One unit vector a side. A clip may have fewer frames: the pixels of those that are missing are zeros."""

    name = "frozen"

    def __init__(self, config: FrozenConfig, frames: int, max_tokens: int) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.text_model: DistilBert | Bert = (
            DistilBert(config.text) if config.distilled else Bert(config.text, pooler=True)
        )
        self.video_model = SpaceTimeVit(config.vision)
        self.txt_proj, self.vid_proj = _projections(config)
        self.pixels = Pixels(*IMAGENET)
        self.config, self.text_sizes = config, config.text
        self.video_inputs = (pixels(frames, config.vision.image_size), TensorSpec(MASK, "float32", (frames,)))
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (config.embed_dim,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (config.embed_dim,)),)

    def embed_video(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames [V, F, 3, H, W], uint8 or normalised, and mask [V, F] to raw embeddings [V, D]."""
        clips = self.pixels.normalise(frames)
        if mask is not None:
            clips = clips * mask.to(clips.dtype)[:, :, None, None, None]
        return self.vid_proj(self.video_model(clips))  # type: ignore[no-any-return]

    def embed_text(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [Q, W] to raw embeddings [Q, D]."""
        hidden = self.text_model(token_ids)
        read = self.text_model.pool(hidden) if isinstance(self.text_model, Bert) else hidden[:, 0]
        return self.txt_proj(read)  # type: ignore[no-any-return]

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> tuple[Tensor]:
        """Frames [V, F, 3, H, W] and mask [V, F] to unit vectors [V, D]."""
        return (F.normalize(self.embed_video(frames, mask), dim=-1, eps=SHORTEST),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to unit vectors [Q, D]."""
        return (F.normalize(self.embed_text(token_ids), dim=-1, eps=SHORTEST),)

    @property
    def embed_dim(self) -> int:
        """The width of the projections."""
        return self.config.embed_dim


def _projections(config: FrozenConfig) -> tuple[nn.Module, nn.Module]:
    """Those of texts and of videos."""
    if config.projection == "none":
        return nn.Identity(), nn.Identity()
    text, video = (nn.Linear(side.width, config.embed_dim) for side in (config.text, config.vision))
    if config.projection == "linear":
        return text, video
    return nn.Sequential(nn.ReLU(), text), nn.Sequential(video)


def _projection(weights: Weights, widths: set[int]) -> tuple[Projection, int]:
    """Which projection the weights show, and the width behind it; ``widths`` are those of both towers."""
    if "vid_proj.weight" in weights.state:
        return "linear", weights.shape("vid_proj.weight", 2)[0]
    if not weights.has("vid_proj.") and not weights.has("txt_proj.") and len(widths) == 1:
        return "none", next(iter(widths))
    return "minimal", weights.shape("vid_proj.0.weight", 2)[0]


def read_sizes(weights: Weights) -> FrozenConfig:
    """What the weights show: both towers, the projections, and how many positions in time there are.

    Raises:
        CheckpointError: a tensor that shows a size is missing or misshapen.
    """
    distilled = weights.has("text_model.transformer.")
    text = bert_sizes(weights, "text_model.", distilled=distilled)
    width, _, patch, _ = weights.shape("video_model.patch_embed.proj.weight", 4)
    layers, places = weights.count("video_model.blocks."), weights.shape("video_model.pos_embed", 3)[1]
    side = math.isqrt(places - 1)
    if side**2 + 1 != places:
        raise weights.unfit(f"video_model.pos_embed has {places} rows, which is no square and one")
    if not layers:
        raise weights.unfit("its vision tower has no blocks")
    moments = weights.shape("video_model.temporal_embed", 3)[1]
    weights.read("moments", moments, "rows of video_model.temporal_embed")
    divided = weights.has("video_model.blocks.0.timeattn.")
    there = f"there is {'a' if divided else 'no'} timeattn"
    weights.read("attention", "divided" if divided else "joint", there)
    inside = weights.shape("video_model.blocks.0.mlp.fc1.weight", 2)[0]
    projection, embed_dim = _projection(weights, {width, text.width})
    weights.towers = (
        f"vision {width} wide with {layers} blocks, patch {patch}, {side * patch} px; "
        f"{'DistilBERT' if distilled else 'BERT'}, {described(text)}; embeddings {embed_dim} wide"
    )
    vision = VitConfig(width, layers, patch, side * patch, moments, inside, divided)
    return FrozenConfig(text, vision, embed_dim, distilled, projection)


def infer(weights: Weights) -> FrozenConfig:
    """As ``read_sizes``, where attention in time and in space is apart.

    Raises:
        CheckpointError: it is not, or a tensor that shows a size is missing or misshapen.
    """
    if not weights.has("video_model.blocks.0.timeattn."):
        raise weights.error("it has no video_model.blocks.0.timeattn: its attention is not divided. See --system mac")
    return read_sizes(weights)


def with_options(sizes: FrozenConfig, options: Mapping[str, Any]) -> FrozenConfig:
    """The sizes with what the weights don't show of them, and the examples' few moments."""
    vision = replace(
        sizes.vision,
        heads=options["vision_heads"],
        moments=options["moments"],
        divided=options["attention"] == "divided",
    )
    return replace(sizes, vision=vision, text=replace(sizes.text, heads=options["text_heads"]))


def build(sizes: FrozenConfig, options: Mapping[str, Any]) -> Frozen:
    """The module of all options, with random weights."""
    return Frozen(with_options(sizes, options), options["frames"], options["max_tokens"])


OPTIONS = (
    replace(
        FRAME_COUNT,
        default=lambda sizes, found: found["moments"],
        why="as many as there are positions in time; fewer leave out the last, more get none",
    ),
    replace(TOKENS, default=lambda sizes, found: min(64, sizes.text.positions)),
    Option(
        "vision_heads",
        lambda sizes, found: usual_heads(sizes.vision.width),
        lambda sizes, found: f"heads are not in the weights: {sizes.vision.width} / 64",
    ),
    TEXT_HEADS,
)
# A short side of 256, of which 224 are left: the authors' test transform.
PREPROCESSING = Preprocessing(
    FrameProfile(
        sampler="uniform_middle", resize="tensor_bilinear_twice", missing="mask", mean=IMAGENET[0], std=IMAGENET[1]
    ),
    tokenizer="wordpiece",
)
SMALL = FrozenConfig(
    text=replace(SMALL_BERT, types=0),
    vision=VitConfig(width=48, layers=2, patch=8, image_size=32, moments=4, inside=96),
    embed_dim=24,
)

FROZEN = SystemCard(
    name="frozen",
    title="Frozen in Time",
    signs=(Sign("video_model.blocks.0.timeattn.", "it has Frozen in Time's divided attention, timeattn"),),
    infer=infer,
    options=OPTIONS,
    shown={"moments": 4, "attention": "divided"},
    build=build,
    preprocessing=PREPROCESSING,
    sizes=FrozenConfig(),
    lengths=((4, 64),),
    code="m-bain/frozen-in-time",
    checkpoints="one, pretrained, linked in the repository",
    examples=(Example("", SMALL, small={"moments": 3}),),
)
