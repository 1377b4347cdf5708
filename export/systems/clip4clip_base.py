"""What CLIP4Clip and the systems built on it share: masked frames and a header that mixes frames in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..bundle.manifest import FrameProfile
from ..bundle.ports import MASK
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig, Towers, Vision, vision_sizes
from ..encoders.clip_patch3d import VisionTower3d
from ..encoders.clip_vision import VisionTower
from ..encoders.heads import usual_heads
from ..encoders.temporal import temporal_transformer
from .clip import ClipSystem, read_towers
from .contract import pixels, unit
from .options import FRAME_COUNT, HEADS, MAX_TOKENS
from .preprocessing import Preprocessing
from .weights import Weights

Header = Literal["meanP", "seqLSTM", "seqTransf", "tightTransf"]
# Added to the attention logits of a padded frame: the authors' constant.
MASKED = -1e6


@dataclass(frozen=True)
class Clip4ClipConfig:
    """Sizes of a CLIP4Clip-like model. ``heads`` of the header is width / 64 where not given, the authors' choice."""

    frames: int = 12
    max_tokens: int = 32
    header: Header = "meanP"
    layers: int = 4
    heads: int | None = None
    positions: int = 77
    patch3d: bool = False
    clip: ClipConfig = field(default_factory=lambda: VIT_B_32)


class Clip4ClipBase(ClipSystem[Vision]):
    """Towers and header under CLIP4Clip's names (Luo et al., 2021).

    A padded frame's pixels are zeros after normalisation. It goes through the tower like any other; the mask keeps it
    out of the temporal attention and of the mean.

    Args:
        tokens: how many tokens of a frame the header mixes.

    Raises:
        ValueError: the header has fewer positions than tokens.
    """

    def __init__(self, config: Clip4ClipConfig, clip: Towers[Vision], *, tokens: int = 1) -> None:
        super().__init__()
        needed = config.frames * tokens + (config.header == "tightTransf")
        if config.header in ("seqTransf", "tightTransf") and needed > config.positions:
            raise ValueError(
                f"{config.frames} frames make {needed} tokens for {config.header}, its weights hold {config.positions} "
                "positions: take fewer frames"
            )
        width, size = config.clip.embed_dim, config.clip.image_size
        self.max_tokens = config.max_tokens
        self.clip = clip
        self.video_inputs = (
            pixels(config.frames, size),
            TensorSpec(MASK, "float32", (config.frames,)),
        )
        if config.header == "seqTransf":
            self.frame_position_embeddings = nn.Embedding(config.positions, width)
            self.transformerClip = temporal_transformer(width, config.layers, config.heads)
        elif config.header == "seqLSTM":
            self.lstm_visual = nn.LSTM(width, width, batch_first=True)
        self.header = config.header

    def embed_frames(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames [V, F, 3, H, W], uint8 or normalised, and mask [V, F] to raw frame embeddings [V, F, D]."""
        return self.clip.visual.embed_clips(self.pixels(frames, mask))

    def pixels(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Normalised pixels [V, F, 3, H, W], zero in padded frames."""
        pixels = self.clip.visual.normalise(frames)
        return pixels if mask is None else pixels * mask.to(pixels.dtype)[:, :, None, None, None]

    def through_time(self, raw: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix frame embeddings [V, N, D] in time as the header does, keys masked by [V, N], plus the embeddings."""
        mask = raw.new_ones(raw.shape[:2]) if mask is None else mask.to(raw.dtype)
        if self.header == "seqTransf":
            bias = (1 - mask)[:, None, None] * MASKED
            mixed: Tensor = self.transformerClip(raw + self.frame_position_embeddings.weight[: raw.shape[1]], bias)
        elif self.header == "seqLSTM":
            # The state runs forward only, so a padded tail can't reach the frames that count.
            mixed = self.lstm_visual(raw)[0] * mask.unsqueeze(-1)
        else:
            return raw
        return mixed + raw

    def scale(self) -> Tensor:
        """The temperature's inverse, exp(logit_scale)."""
        return self.clip.logit_scale.exp()


def clip_towers(config: Clip4ClipConfig) -> Towers[VisionTower]:
    """CLIP's towers, with three-dimensional patches where the configuration says so."""
    sizes = vision_sizes(config.clip)
    vision = VisionTower3d(**sizes) if config.patch3d else VisionTower(**sizes)
    return Towers(config.clip, vision)


def masked_mean(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """Unit mean [V, D] of unit frames: of [V, F, D], those where the mask [V, F] is 1. No frame gives NaN."""
    frames = unit(frames)
    if mask is None:
        return unit(frames.mean(1))
    weights = mask.to(frames.dtype).unsqueeze(-1)
    return unit((frames * weights).sum(1) / torch.clamp(weights.sum(1), min=1))


def infer_header(weights: Weights) -> ClipConfig:
    """What the weights of a CLIP4Clip-like checkpoint show: the towers' sizes and the header."""
    clip = read_towers(weights)
    if weights.has("lstm_visual."):
        weights.read("header", "seqLSTM", "there is lstm_visual")
    elif weights.has(_BLOCKS["seqTransf"]):
        weights.read("header", "seqTransf", "there is transformerClip")
    elif weights.has(_BLOCKS["tightTransf"]):
        weights.read("header", "tightTransf", "there is cross and no other header")
    else:
        weights.read("header", "meanP", "there is neither lstm_visual nor transformerClip nor cross")
    header = weights.found["header"]
    if header in _BLOCKS:
        blocks, table = _BLOCKS[header], _POSITIONS[header]
        weights.read("layers", weights.count(blocks), f"blocks under {blocks.removesuffix('.')}")
        weights.read("positions", weights.shape(f"{table}.weight", 2)[0], f"rows of {table}")
    patch3d = "clip.visual.conv2.weight" in weights.state
    weights.read("patch3d", patch3d, f"there is {'a' if patch3d else 'no'} clip.visual.conv2")
    return clip


def unused(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Prefixes of tensors that the header found doesn't read, though the authors' files hold them."""
    cross = () if found["header"] == "tightTransf" else ("cross.", "similarity_dense.")
    return (*cross, *(() if found["header"] == "seqTransf" else ("frame_position_embeddings.",)))


_BLOCKS = {"seqTransf": "transformerClip.resblocks.", "tightTransf": "cross.transformer.resblocks."}
_POSITIONS = {"seqTransf": "frame_position_embeddings", "tightTransf": "cross.embeddings.position_embeddings"}
HEADER_HEADS = replace(
    HEADS,
    default=lambda clip, found: usual_heads(clip.embed_dim),
    why=lambda clip, found: f"the header's heads are not in the weights: {clip.embed_dim} / 64",
    what="of seqTransf or tightTransf",
    applies=lambda clip, found: found["header"] in _BLOCKS,
)
_ELSEWHERE = "the authors took 64 for ActivityNet and DiDeMo"
LENGTH_OPTIONS = (
    replace(FRAME_COUNT, why=f"{FRAME_COUNT.why}: {_ELSEWHERE}"),
    replace(MAX_TOKENS, why=f"{MAX_TOKENS.why}: {_ELSEWHERE}"),
)
SHOWN: Mapping[str, Any] = {
    "header": Clip4ClipConfig.header,
    "layers": Clip4ClipConfig.layers,
    "positions": Clip4ClipConfig.positions,
}
SMALL_HEADER: Mapping[str, Any] = {"layers": 2, "positions": 33}
PREPROCESSING = Preprocessing(FrameProfile(sampler="second_steps", resize="pil_bicubic", missing="mask"))
