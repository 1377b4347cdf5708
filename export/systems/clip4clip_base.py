"""What CLIP4Clip and the systems built on it share: masked frames and a header that mixes frames in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..bundle.ports import FRAMES, MASK
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig, Towers, Vision, vision_sizes
from ..encoders.clip_patch3d import VisionTower3d
from ..encoders.clip_vision import VisionTower
from ..encoders.temporal import temporal_transformer
from ..encoders.transformer import HEAD_WIDTH
from .clip import ClipSystem
from .contract import unit
from .inspection import Findings

Header = Literal["meanP", "seqLSTM", "seqTransf", "tightTransf"]
HEADERS: tuple[Header, ...] = get_args(Header)
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
            TensorSpec(FRAMES, "uint8", (config.frames, 3, size, size)),
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


def examine_header(findings: Findings) -> None:
    """Read towers and header of a CLIP4Clip-like checkpoint, and assume what its weights don't show."""
    findings.towers()
    width = findings.found["clip"].embed_dim
    stacks = {"seqTransf": "transformerClip.resblocks.", "tightTransf": "cross.transformer.resblocks."}
    if findings.has("lstm_visual."):
        findings.read("header", "seqLSTM", "there is lstm_visual")
    elif findings.has(stacks["seqTransf"]):
        findings.read("header", "seqTransf", "there is transformerClip")
    elif findings.has(stacks["tightTransf"]):
        findings.read("header", "tightTransf", "there is cross and no other header")
    else:
        findings.read("header", "meanP", "there is neither lstm_visual nor transformerClip nor cross")
    stack = stacks.get(findings.found["header"])
    if stack is not None:
        table = (
            "frame_position_embeddings"
            if stack.startswith("transformerClip")
            else "cross.embeddings.position_embeddings"
        )
        findings.read("layers", findings.count(stack), f"blocks under {stack.removesuffix('.')}")
        rows = findings.shape(f"{table}.weight", 2)[0]
        findings.read("positions", rows, f"rows of {table}")
        findings.assume(
            "heads", max(1, width // HEAD_WIDTH), f"the header's heads are not in the weights: {width} / 64"
        )
    patch3d = "clip.visual.conv2.weight" in findings.state
    findings.read("patch3d", patch3d, f"there is {'a' if patch3d else 'no'} clip.visual.conv2")


def assume_lengths(findings: Findings) -> None:
    """Frames and token positions where the weights don't fix them."""
    elsewhere = "the authors took 64 for ActivityNet and DiDeMo"
    findings.assume("frames", 12, f"frames are not in the weights: {elsewhere}")
    findings.assume("max_tokens", 32, f"token positions are not in the weights: {elsewhere}")
