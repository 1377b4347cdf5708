"""Clover (Huang et al., CVPR 2023): a Video Swin for clips and a BERT for texts; retrieval uses no fusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..bundle.manifest import FrameProfile
from ..bundle.ports import TEXT_EMBEDDING, VIDEO_EMBEDDING
from ..bundle.spec import TensorSpec
from ..encoders.bert import Bert, BertConfig
from ..encoders.pixels import Pixels
from ..encoders.swin_windows import Axes, window_of
from ..encoders.video_swin import SwinConfig, VideoSwin
from .bert import SMALL_BERT, TEXT_HEADS, TOKENS, bert_sizes, described
from .card import Example, Sign, SystemCard
from .contract import pixels
from .options import FRAME_COUNT, Option
from .preprocessing import Preprocessing
from .weights import Weights
from .word_pieces import WordPieceDual

# As the authors' configuration has them, of RGB: the means of BGR. Their weights were trained so.
PIXELS = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
_INDEX, _TABLE = "attn.relative_position_index", "attn.relative_position_bias_table"


@dataclass(frozen=True)
class CloverConfig:
    """Sizes of both towers, of the layers inside the projections of videos and texts, and of where they meet."""

    text: BertConfig = field(default_factory=BertConfig)
    vision: SwinConfig = field(default_factory=SwinConfig)
    inside: int = 1536
    embed_dim: int = 768
    text_inside: int = 768


class Clover(WordPieceDual):
    """One unit vector a side. Videos with few frames repeat them."""

    name = "clover"

    def __init__(self, config: CloverConfig, frames: int, image_size: int, max_tokens: int) -> None:
        super().__init__()
        width, inside, out = config.vision.out, config.inside, config.embed_dim
        self.max_tokens, self.config, self.text_sizes = max_tokens, config, config.text
        self.backbone = VideoSwin(config.vision, frames, image_size)
        self.text_backbone = nn.ModuleDict({"bert": Bert(config.text)})
        video = (nn.Linear(width, inside), nn.LayerNorm(inside), nn.GELU(), nn.Linear(inside, out), nn.LayerNorm(out))
        within = config.text_inside
        text = (nn.Linear(config.text.width, within), nn.GELU(), nn.Linear(within, out))
        self.ssl_head = nn.ModuleDict({"img_projector": nn.Sequential(*video), "text_projector": nn.Sequential(*text)})
        self.pixels = Pixels(*PIXELS)
        self.video_inputs = (pixels(frames, image_size),)
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (out,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (out,)),)

    def embed_grid(self, frames: Tensor) -> Tensor:
        """Frames [V, F, 3, S, S], uint8 or normalised, to the tower's normed grid [V, T, H, W, C]."""
        return self.backbone(self.pixels.normalise(frames))  # type: ignore[no-any-return]

    def embed_video(self, frames: Tensor) -> Tensor:
        """Frames [V, F, 3, S, S], uint8 or normalised, to raw embeddings [V, D]."""
        return self.ssl_head["img_projector"](self.embed_grid(frames).mean((1, 2, 3)))  # type: ignore[no-any-return]

    def embed_text(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [Q, W] to raw embeddings [Q, D]."""
        hidden = self.text_backbone["bert"](token_ids)
        return self.ssl_head["text_projector"](hidden[:, 0])  # type: ignore[no-any-return]

    def encode_video(self, frames: Tensor) -> tuple[Tensor]:
        """Frames [V, F, 3, S, S] to unit vectors [V, D]."""
        return (unit_or_zero(self.embed_video(frames)),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to unit vectors [Q, D]."""
        return (unit_or_zero(self.embed_text(token_ids)),)

    @property
    def embed_dim(self) -> int:
        """The width of the projections."""
        return self.config.embed_dim


def unit_or_zero(x: Tensor) -> Tensor:
    """``x`` divided by the length of its last axis, and zeros as they are."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / torch.where(length == 0, 1.0, length)


def infer(weights: Weights) -> CloverConfig:
    """What the weights show: both towers and the projections.

    Raises:
        CheckpointError: a tensor that shows a size is missing or misshapen, or windows are none that are known.
    """
    text = bert_sizes(weights, "text_backbone.bert.")
    width, _, *patch = weights.shape("backbone.patch_embed.proj.weight", 5)
    stages = weights.count("backbone.layers.")
    if not stages:
        raise weights.unfit("its vision tower has no stages")
    blocks = [f"backbone.layers.{stage}.blocks." for stage in range(stages)]
    depths = tuple(weights.count(stem) for stem in blocks)
    heads = tuple(weights.shape(f"{stem}0.{_TABLE}", 2)[1] for stem in blocks)
    inside = weights.shape(f"{blocks[0]}0.mlp.fc1.weight", 2)[0]
    window = _window(weights, blocks[0])
    weights.read("window", window, f"tokens of {_INDEX} and rows of {_TABLE}")
    projected = weights.shape("ssl_head.img_projector.0.weight", 2)[0]
    embed_dim = weights.shape("ssl_head.img_projector.3.weight", 2)[0]
    text_projected = weights.shape("ssl_head.text_projector.0.weight", 2)[0]
    vision = SwinConfig(width, depths, heads, window, (patch[0], patch[1], patch[2]), inside // width)
    weights.towers = (
        f"vision {width} to {vision.out} wide with {' + '.join(map(str, depths))} blocks, {sum(heads)} heads, windows "
        f"of {' x '.join(map(str, window))}; {described(text)}; embeddings {embed_dim} wide"
    )
    return CloverConfig(text, vision, projected, embed_dim, text_projected)


def _window(weights: Weights, stem: str) -> Axes:
    tokens, _ = weights.shape(f"{stem}0.{_INDEX}", 2)
    rows = weights.shape(f"{stem}0.{_TABLE}", 2)[0]
    window = window_of(tokens, rows)
    if window is None:
        raise weights.unfit(f"no square window has {tokens} tokens and a table of {rows} rows")
    return window


def build(sizes: CloverConfig, options: Mapping[str, Any]) -> Clover:
    """The module of all options, with random weights."""
    text = replace(sizes.text, heads=options["text_heads"])
    config = replace(sizes, text=text, vision=replace(sizes.vision, window=tuple(options["window"])))
    return Clover(config, options["frames"], options["image_size"], options["max_tokens"])


CLOVER = SystemCard(
    name="clover",
    title="Clover",
    signs=(Sign("ssl_head.img_projector.", "it has Clover's ssl_head.img_projector"),),
    infer=infer,
    options=(
        replace(FRAME_COUNT, default=32, why=f"{FRAME_COUNT.why}: the authors test with 32"),
        replace(TOKENS, default=lambda sizes, found: min(25, sizes.text.positions)),
        Option("image_size", 224, "the side of a frame in pixels is not in the weights", "pixels", least=8, most=1024),
        TEXT_HEADS,
    ),
    shown={"window": SwinConfig.window},
    build=build,
    preprocessing=Preprocessing(
        FrameProfile(sampler="equal_middle", resize="cv2_bilinear", missing="repeat", mean=PIXELS[0], std=PIXELS[1]),
        tokenizer="wordpiece",
    ),
    # What only pre-training and the fusion of both sides read.
    unused=lambda found: ("multimodal_backbone.", "text_backbone.bert.pooler."),
    sizes=CloverConfig(),
    lengths=((32, 25),),
    code="LeeYN-43/Clover",
    checkpoints="none, not released",
    examples=(
        Example(
            "",
            CloverConfig(
                SMALL_BERT, SwinConfig(12, (2, 2), (1, 2), (2, 3, 3)), inside=20, embed_dim=24, text_inside=28
            ),
            small={"image_size": 40, "window": (2, 3, 3)},
        ),
    ),
)
