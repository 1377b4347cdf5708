"""DGL (Yang et al., AAAI 2024): CLIP with global and local prompts; a dual encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...kernels.dot.reference import dot
from ..bundle.manifest import FrameProfile
from ..bundle.ports import TEXT_EMBEDDING, VIDEO_EMBEDDING
from ..bundle.scorers import DOT
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig
from ..encoders.heads import usual_heads
from ..encoders.prompted import PromptConfig, PromptedClip, PromptedTower
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, ClipSystem, read_towers, with_clip
from .contract import pixels, unit
from .options import FRAME_COUNT, MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights

TEXT_PROMPTS = 8
# Which of the tower's outputs is the video; the authors' released models use the first.
Output = Literal[
    "global_prompt0",
    "average_global_prompt",
    "average_frame_cls_token",
    "average_global_prompt_and_frame_cls_token",
]
OUTPUTS: tuple[Output, ...] = get_args(Output)


@dataclass(frozen=True)
class DglConfig:
    """Sizes and the choice of output, under the authors' names of the choices."""

    max_tokens: int = 32
    output: Output = "global_prompt0"
    prompts: PromptConfig = field(default_factory=PromptConfig)
    clip: ClipConfig = field(default_factory=lambda: VIT_B_32)

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"output is {self.output!r}, it must be one of {', '.join(OUTPUTS)}")


class Dgl(ClipSystem[PromptedTower]):
    """One vector a side, ``exp(logit_scale)`` times their cosine. No mask: short videos repeat their last frame."""

    name = "dgl"
    scorer = DOT
    clip: PromptedClip

    def __init__(self, config: DglConfig) -> None:
        super().__init__()
        width, size = config.clip.embed_dim, config.clip.image_size
        self.max_tokens, self.output = config.max_tokens, config.output
        self.clip = PromptedClip(config.clip, config.prompts)
        self.video_inputs = (pixels(config.prompts.frames, size),)
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (width,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (width,)),)

    def folded(self) -> Dgl:
        """With the prompts as constants; see ``PromptedClip.fold``."""
        folded = self.sharing_weights()
        folded.clip.fold()
        return folded

    def encode_video(self, frames: Tensor) -> tuple[Tensor]:
        """Frames [V, F, 3, H, W] to unit vectors [V, D]."""
        return (unit(self.pool(*self.clip.embed_clips(self.clip.visual.normalise(frames)))),)

    def pool(self, shared: Tensor, frames: Tensor) -> Tensor:
        """Global tokens [V, G, D] and frames' class tokens [V, F, D] to raw video embeddings [V, D]."""
        if self.output == "global_prompt0":
            return shared[:, 0]
        if self.output == "average_global_prompt":
            return shared.mean(1)
        if self.output == "average_frame_cls_token":
            return frames.mean(1)
        return torch.cat([shared, frames], 1).mean(1)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to vectors [Q, D] of length exp(logit_scale)."""
        return (self.text_length() * unit(self.clip(token_ids)),)

    def text_length(self) -> Tensor:
        """The temperature's inverse, exp(logit_scale)."""
        return self.clip.logit_scale.exp()

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])


def infer(weights: Weights) -> ClipConfig:
    """What the weights show: towers and prompts, and beside a transformer of prompts the frames."""
    clip = read_towers(weights)
    local = weights.shape("clip.visual.prompt_embeddings", 3)[1]
    weights.read("local", local, f"clip.visual.prompt_embeddings holds {local} global prompts, as many as a frame has")
    if "clip.unified_prompt_embedding.weight" in weights.state:
        rows, columns = weights.shape("clip.unified_prompt_embedding.weight", 2)
        parts = f"{TEXT_PROMPTS} text prompts and {local} a frame"
        if rows <= TEXT_PROMPTS or (rows - TEXT_PROMPTS) % local:
            raise weights.unfit(f"clip.unified_prompt_embedding has {rows} rows, which is not {parts}")
        weights.read("space", "transformer", "there is clip.unified_prompt_embedding")
        weights.read("frames", (rows - TEXT_PROMPTS) // local, f"{rows} prompts are {parts}")
        weights.read("text", TEXT_PROMPTS, "the authors' number, by which the frames were counted")
    else:
        columns = weights.shape("clip.visual_prompt_embedding", 3)[2]
        weights.read("space", "linear", "there is clip.visual_prompt_embedding")
        weights.read("text", 2 * local, "the prompts of a frame are projected twice")
    layers = columns // clip.vision_width
    if columns % clip.vision_width or not clip.vision_layers <= layers <= clip.text_layers:
        raise weights.unfit(
            f"its prompts hold {columns} numbers each, which is not one {clip.vision_width}-wide prompt for every block"
        )
    weights.read("layers", layers, f"prompts of {columns} numbers, {clip.vision_width} for a block")
    return clip


def build(clip: ClipConfig, options: Mapping[str, Any]) -> Dgl:
    """The module of all options, with random weights."""
    names = ("space", "frames", "layers", "text", "local")
    prompts = PromptConfig(**{name: options[name] for name in names}, heads=options.get("prompt_heads"))
    sizes = with_clip(clip, options)["clip"]
    return Dgl(DglConfig(max_tokens=options["max_tokens"], output=options["output"], prompts=prompts, clip=sizes))


DGL = SystemCard(
    name="dgl",
    title="DGL",
    signs=(
        Sign("clip.unified_prompt_embedding.", "it has DGL's unified_prompt_embedding"),
        Sign("clip.visual_prompt_embedding", "it has DGL's visual_prompt_embedding"),
    ),
    infer=infer,
    options=(
        Option(
            "prompt_heads",
            lambda clip, found: usual_heads(clip.vision_width),
            lambda clip, found: f"the prompt block's heads are not in the weights: {clip.vision_width} / 64",
            "for `transformer`",
            applies=lambda clip, found: found["space"] == "transformer",
        ),
        replace(FRAME_COUNT, why=f"{FRAME_COUNT.why}: the authors took 64 for ActivityNet", what="for `linear`"),
        replace(MAX_TOKENS, why=f"{MAX_TOKENS.why}: the authors took 64 for ActivityNet"),
        Option(
            "output",
            DglConfig.output,
            "which output is the video is not in the weights",
            f"or {', '.join(f'`{name}`' for name in OUTPUTS[1:])}",
        ),
        VISION_HEADS,
        TEXT_HEADS,
    ),
    shown={name: getattr(PromptConfig, name) for name in ("space", "layers", "text", "local")},
    build=build,
    # The authors shrunk their videos beforehand, to a short side of 224 at 3 frames a second. Their code only crops.
    preprocessing=Preprocessing(FrameProfile(sampler="tick_middle", resize="centre_crop", missing="repeat")),
    unused=lambda found: ("clip.visual.frame_embedding",),
    sizes=VIT_B_32,
    lengths=((12, 32), (64, 64)),
    code="knightyxp/DGL",
    checkpoints="five, linked in the repository",
    examples=(
        Example("transformer", SMALL, small={"layers": 2}),
        Example("linear", SMALL, {"space": "linear"}, {"layers": 2}),
    ),
)
