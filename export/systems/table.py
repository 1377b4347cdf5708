"""TABLE (Chen et al., AAAI 2023), from the paper: a film's frames and the tags that experts give it, read together.

The authors published neither code nor weights, and the paper's abstract is what this follows: CLIP's towers, an encoder
of tags, and a cross-modal encoder over frames and tags. The layout of the weights is framesift's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.dot.reference import dot
from ..bundle.features.profile import FeatureArray, FeatureProfile
from ..bundle.features.rules import TAGS
from ..bundle.features.tags import TAG_IDS, TAG_MASK
from ..bundle.manifest import FrameProfile
from ..bundle.ports import MASK, TEXT_EMBEDDING, VIDEO_EMBEDDING
from ..bundle.scorers import DOT
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, Clip, ClipConfig
from ..encoders.clip_text import TextTower
from ..encoders.clip_vision import VisionTower
from ..encoders.heads import usual_heads
from ..encoders.transformer import Transformer
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, ClipSystem, read_towers, with_clip
from .clip4clip_base import MASKED
from .contract import pixels, unit
from .options import HEADS, MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights

# Whose tags a video may have, in the order in which they are read.
EXPERTS = ("object", "person", "motion", "audio", "ocr")
_TAG_TOWER = "tag_encoder."


@dataclass(frozen=True)
class TableSizes:
    """Sizes of CLIP's towers and of the cross-modal encoder; ``tagger`` is tags' own text tower, if they have one."""

    clip: ClipConfig = field(default_factory=lambda: VIT_B_32)
    frames: int = 12
    layers: int = 4
    tagger: tuple[int, int] | None = None


class Cross(nn.Module):
    """Frames and tags through one transformer: what a frame is, where it is, and which of both it is."""

    def __init__(self, width: int, frames: int, layers: int, heads: int | None) -> None:
        super().__init__()
        self.frame_position = nn.Parameter(0.02 * torch.randn(frames, width))
        self.kind = nn.Parameter(0.02 * torch.randn(2, width))
        self.transformer = Transformer(width, layers, heads=heads)
        self.ln_post = nn.LayerNorm(width)

    def forward(self, frames: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Frames [V, F, D] and tags [V, K, D], those that count in the mask [V, F + K], to frames [V, F, D]."""
        x = torch.cat([frames + self.frame_position + self.kind[0], tags + self.kind[1]], 1)
        y = self.transformer(x, (1 - mask)[:, None, None] * MASKED)
        return self.ln_post(y[:, : frames.shape[1]])  # type: ignore[no-any-return]


class Table(ClipSystem[VisionTower]):
    """One unit vector a side. A video without tags has that of its frames alone."""

    name = "table"
    scorer = DOT
    clip: Clip

    def __init__(self, sizes: TableSizes, *, max_tokens: int, heads: int | None, tags: int, tag_tokens: int) -> None:
        super().__init__()
        clip, frames = sizes.clip, sizes.frames
        if not 3 <= tag_tokens <= clip.context_length:
            raise ValueError(f"tag_tokens is {tag_tokens}, the text tower has 3 to {clip.context_length} positions")
        self.max_tokens = max_tokens
        self.clip = Clip(clip)
        if sizes.tagger is not None:
            width, layers = sizes.tagger
            self.tag_encoder = TextTower(
                width=width,
                layers=layers,
                vocab_size=clip.vocab_size,
                context_length=clip.context_length,
                embed_dim=clip.embed_dim,
            )
        self.cross = Cross(clip.embed_dim, frames, sizes.layers, heads)
        self.features = FeatureProfile(TAGS, tuple(FeatureArray(name, ("tags",), optional=True) for name in EXPERTS))
        self.video_inputs = (
            pixels(frames, clip.image_size),
            TensorSpec(MASK, "float32", (frames,)),
            TensorSpec(TAG_IDS, "int64", (tags, tag_tokens)),
            TensorSpec(TAG_MASK, "float32", (tags,)),
        )
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (clip.embed_dim,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (clip.embed_dim,)),)

    def embed_tags(self, tag_ids: Tensor) -> Tensor:
        """Tags' token ids int64 [V, K, W] to raw embeddings [V, K, D]."""
        tower: TextTower = getattr(self, "tag_encoder", self.clip)
        return tower(tag_ids.flatten(0, 1)).unflatten(0, tag_ids.shape[:2])  # type: ignore[no-any-return]

    def encode_video(self, frames: Tensor, mask: Tensor, tag_ids: Tensor, tag_mask: Tensor) -> tuple[Tensor]:
        """Frames [V, F, 3, H, W] with mask [V, F] and tags int64 [V, K, W] with mask [V, K] to unit vectors [V, D]."""
        shown = self.clip.visual.normalise(frames)
        mask, tag_mask = mask.to(shown.dtype), tag_mask.to(shown.dtype)
        raw = self.clip.visual.embed_clips(shown * mask[:, :, None, None, None])
        mixed = raw + self.cross(raw, self.embed_tags(tag_ids), torch.cat([mask, tag_mask], 1))
        return (unit((mixed * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to unit vectors [Q, D]."""
        return (unit(self.clip(token_ids)),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])

    def random_features(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        """As ``System.random_features``: none to all of the tags that are read."""
        count, length = self.video_inputs[2].shape
        ids = self.random_token_ids(rows * count, length, generator).unflatten(0, (rows, count))
        used = torch.arange(count) < torch.randint(0, count + 1, (rows, 1), generator=generator)
        return {TAG_IDS: ids * used.unsqueeze(-1), TAG_MASK: used.float()}


def infer(weights: Weights) -> TableSizes:
    """What the weights show: CLIP's towers, the cross-modal encoder, and whether tags have a tower of their own."""
    clip = read_towers(weights)
    frames, width = weights.shape("cross.frame_position", 2)
    if width != clip.embed_dim:
        raise weights.unfit(f"cross.frame_position is {width} wide, and CLIP's embeddings are {clip.embed_dim}")
    weights.read("frames", frames, "rows of cross.frame_position")
    layers = weights.count("cross.transformer.resblocks.")
    if not layers:
        raise weights.unfit("its cross-modal encoder has no blocks")
    weights.read("layers", layers, "blocks under cross.transformer")
    tagger = None
    if weights.has(_TAG_TOWER):
        width = weights.shape(f"{_TAG_TOWER}ln_final.weight", 1)[0]
        tagger = width, weights.count(f"{_TAG_TOWER}transformer.resblocks.")
    weights.read("tagger", tagger is not None, f"there is {'a' if tagger else 'no'} {_TAG_TOWER.rstrip('.')}")
    return TableSizes(clip, frames, layers, tagger)


def build(sizes: TableSizes, options: Mapping[str, Any]) -> Table:
    """The module of all options, with random weights."""
    known = with_clip(sizes.clip, options)
    tagger = (sizes.clip.text_width, sizes.clip.text_layers) if options["tagger"] else None
    made = replace(
        sizes,
        clip=known["clip"],
        frames=options["frames"],
        layers=options["layers"],
        tagger=sizes.tagger or tagger,
    )
    names = ("max_tokens", "heads", "tags", "tag_tokens")
    return Table(made, **{name: options[name] for name in names})


TABLE = SystemCard(
    name="table",
    title="TABLE",
    signs=(Sign("cross.frame_position", "it has the cross.frame_position of framesift's own layout of TABLE"),),
    infer=infer,
    options=(
        MAX_TOKENS,
        Option("tags", 30, "how many tags are read is not in the weights", "the most tags of a video", most=256),
        Option(
            "tag_tokens",
            lambda sizes, found: sizes.clip.context_length,
            "how much is read of a tag is not in the weights: all that the text tower has positions for",
            "positions of a tag; fewer take less time to index, and cut long ones",
        ),
        replace(
            HEADS,
            default=lambda sizes, found: usual_heads(sizes.clip.embed_dim),
            why=lambda sizes, found: f"the heads of cross are not in the weights: {sizes.clip.embed_dim} / 64",
            what="of the cross-modal encoder",
        ),
        replace(
            VISION_HEADS,
            default=lambda sizes, found: usual_heads(sizes.clip.vision_width),
            why=lambda sizes, found: f"heads are not in the weights: {sizes.clip.vision_width} / 64",
        ),
        replace(
            TEXT_HEADS,
            default=lambda sizes, found: usual_heads(sizes.clip.text_width),
            why=lambda sizes, found: f"heads are not in the weights: {sizes.clip.text_width} / 64",
        ),
    ),
    shown={"frames": 12, "layers": 4, "tagger": False},
    build=build,
    preprocessing=Preprocessing(FrameProfile(sampler="second_steps", resize="pil_bicubic", missing="mask")),
    sizes=TableSizes(),
    checkpoints="none, from the paper",
    examples=(Example("", TableSizes(SMALL), {"tagger": True}, {"layers": 2, "tags": 5, "tag_tokens": 8}),),
)
