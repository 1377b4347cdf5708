"""STAN (Liu et al., CVPR 2023) and Mug-STAN (Liu et al., 2023): a spatial-temporal branch beside CLIP's vision tower.

Both have the same weights; they differ in how a pair is scored. The authors' code takes a clip of exactly three frames
for one whose axes are swapped, and mixes frames with colours; that is not reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from torch import Tensor
from torch.nn import functional as nnf

from ...kernels.dot.reference import dot
from ...kernels.token_frame.reference import TAU, token_frame
from ..bundle.manifest import FrameProfile
from ..bundle.ports import FRAME_EMBEDDINGS, TEXT_EMBEDDING, VIDEO_EMBEDDING, WORD_EMBEDDINGS
from ..bundle.scorers import DOT, TOKEN_FRAME
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig, Towers, vision_sizes
from ..encoders.stan import PIXELS, StanTower
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, ClipSystem, read_towers, with_clip
from .contract import pixels, unit
from .options import FRAME_COUNT, MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights

Head = Literal["stan", "mug"]
HEADS: tuple[Head, ...] = get_args(Head)
# The authors' lower bound of a norm in Mug-STAN.
SHORTEST = 1e-6


@dataclass(frozen=True)
class StanConfig:
    """Sizes, and which head; ``tau`` sharpens Mug-STAN's softmaxes."""

    frames: int = 12
    max_tokens: int = 32
    depth: int = 4
    moments: int = 64
    head: Head = "mug"
    tau: float = TAU
    clip: ClipConfig = field(default_factory=lambda: VIT_B_32)

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"head is {self.head!r}, it must be one of {', '.join(HEADS)}")
        if not 1 <= self.frames <= self.moments:
            raise ValueError(f"frames is {self.frames}, the weights hold time embeddings for 1 to {self.moments}")


class StanBase(ClipSystem[StanTower]):
    """The towers, without a temperature: the authors rank by plain similarity."""

    name = "stan"

    def __init__(self, config: StanConfig) -> None:
        super().__init__()
        size = config.clip.image_size
        self.max_tokens = config.max_tokens
        tower = StanTower(depth=config.depth, moments=config.moments, **vision_sizes(config.clip))
        self.clip = Towers(config.clip, tower, temperature=False)
        self.video_inputs = (pixels(config.frames, size),)

    def embed_frames(self, frames: Tensor) -> Tensor:
        """Frames [V, F, 3, H, W], uint8 or normalised, to raw frame embeddings [V, F, D]."""
        return self.clip.visual.embed_clips(self.clip.visual.normalise(frames))


class Stan(StanBase):
    """Cosine of the text and the mean of the raw frame embeddings."""

    scorer = DOT

    def __init__(self, config: StanConfig) -> None:
        super().__init__(config)
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (config.clip.embed_dim,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (config.clip.embed_dim,)),)

    def encode_video(self, frames: Tensor) -> tuple[Tensor]:
        """Frames [V, F, 3, H, W] to unit vectors [V, D]."""
        return (unit(self.embed_frames(frames).mean(1)),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to unit vectors [Q, D]."""
        return (unit(self.clip(token_ids)),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])


class MugStan(StanBase):
    """Every word position against every frame; a position whose token id is 0 takes no part."""

    name = "mugstan"
    scorer = TOKEN_FRAME

    def __init__(self, config: StanConfig) -> None:
        super().__init__(config)
        self.tau = config.tau
        self.text_record = (TensorSpec(WORD_EMBEDDINGS, "float32", (config.max_tokens, config.clip.embed_dim)),)
        self.video_record = (TensorSpec(FRAME_EMBEDDINGS, "float32", (config.frames, config.clip.embed_dim)),)

    def encode_video(self, frames: Tensor) -> tuple[Tensor]:
        """Frames [V, F, 3, H, W] to unit frame vectors [V, F, D]."""
        return (bounded_unit(self.embed_frames(frames)),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to unit vectors of the positions [Q, W, D], zeros where the id is 0."""
        return self.finish_text(self.clip.embed_positions(token_ids), token_ids != 0)

    def finish_text(self, positions: Tensor, mask: Tensor) -> tuple[Tensor]:
        """Raw embeddings of the positions [Q, W, D] and mask [Q, W] to the record."""
        return (bounded_unit(positions) * mask.to(positions.dtype).unsqueeze(-1),)

    @property
    def like_inputs(self) -> tuple[TensorSpec, ...]:
        """The frames, if a text has as many positions."""
        return self.video_record if self.frames <= self.max_tokens else ()

    def encode_like(self, *video: Tensor) -> tuple[Tensor]:
        """Unit frame vectors [B, F, D] to those of W positions: frames stand for words, and the rest for none."""
        return (nnf.pad(video[0], (0, 0, 0, self.max_tokens - self.frames)),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/token_frame``."""
        return token_frame(text[0], video[0], self.tau)


def bounded_unit(x: Tensor) -> Tensor:
    """``x`` divided by the length of its last axis or by ``SHORTEST``, whichever is larger."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length.clamp(min=SHORTEST)


def infer(weights: Weights) -> ClipConfig:
    """What the weights show: towers, and the size of the branch."""
    clip = read_towers(weights)
    depth = weights.count("clip.visual.STAN_S_layers.")
    moments = weights.shape("clip.visual.STAN_time_embed.weight", 2)[0]
    if not 1 <= depth <= clip.vision_layers:
        raise weights.unfit(f"its branch has {depth} layers beside {clip.vision_layers} blocks")
    weights.read("depth", depth, "layers under STAN_S_layers")
    weights.read("moments", moments, "rows of STAN_time_embed")
    return clip


def build(clip: ClipConfig, options: Mapping[str, Any]) -> Stan | MugStan:
    """The module of all options, with random weights."""
    config = StanConfig(**with_clip(clip, options))
    return MugStan(config) if config.head == "mug" else Stan(config)


STAN = SystemCard(
    name="stan",
    title="STAN",
    signs=(Sign("clip.visual.STAN_", "it has STAN's branch, STAN_S_layers and STAN_T_layers"),),
    infer=infer,
    options=(
        replace(
            FRAME_COUNT,
            default=lambda clip, found: min(StanConfig.frames, found["moments"]),
            why=f"{FRAME_COUNT.why}: Mug-STAN was tested with 32 on MSR-VTT",
        ),
        replace(MAX_TOKENS, why=f"{MAX_TOKENS.why}: the authors took 77 for DiDeMo"),
        Option(
            "head",
            StanConfig.head,
            "STAN and Mug-STAN have the same weights; the released ones are Mug-STAN's",
            "or `stan`; `--system` decides it, too",
        ),
        Option(
            "tau",
            TAU,
            "the sharpness of Mug-STAN's softmaxes is not in the weights",
            "sharpness of Mug-STAN's softmaxes",
        ),
        VISION_HEADS,
        TEXT_HEADS,
    ),
    shown={"depth": StanConfig.depth, "moments": StanConfig.moments},
    build=build,
    # A caption of more than 30 tokens loses its end token to the slice, and STAN then reads it at its first position.
    preprocessing=Preprocessing(
        FrameProfile(sampler="segment_round", resize="cv2_bilinear", missing="repeat", mean=PIXELS[0], std=PIXELS[1]),
        sliced_from=77,
    ),
    implied={"head": "stan"},
    sizes=VIT_B_32,
    code="farewellthree/STAN",
    checkpoints="with Mug-STAN's",
    examples=(Example("", SMALL, {"head": "stan"}, {"depth": 1, "moments": 8}),),
)
# The same weights, scored otherwise.
MUGSTAN = replace(
    STAN,
    name="mugstan",
    title="Mug-STAN",
    implied={"head": "mug"},
    lengths=((32, 32), (12, 32), (64, 77)),
    checkpoints="on Hugging Face",
    page="stan",
    examples=(Example("", SMALL, small={"depth": 1, "moments": 8}),),
)
