"""DGL (Yang et al., AAAI 2024): CLIP with global and local prompts; a dual encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...kernels.dot.reference import dot
from ..bundle.ports import FRAMES, TEXT_EMBEDDING, VIDEO_EMBEDDING
from ..bundle.scorers import DOT
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig
from ..encoders.prompted import PromptConfig, PromptedClip, PromptedTower
from ..encoders.transformer import HEAD_WIDTH
from .clip import ClipSystem
from .contract import unit
from .inspection import Findings

SYSTEM = "dgl"
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

    name = SYSTEM
    scorer = DOT
    clip: PromptedClip

    def __init__(self, config: DglConfig) -> None:
        super().__init__()
        width, size = config.clip.embed_dim, config.clip.image_size
        self.max_tokens, self.output = config.max_tokens, config.output
        self.clip = PromptedClip(config.clip, config.prompts)
        self.video_inputs = (TensorSpec(FRAMES, "uint8", (config.prompts.frames, 3, size, size)),)
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
        return (self.clip.logit_scale.exp() * unit(self.clip(token_ids)),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])


def examine(findings: Findings) -> None:
    """What the weights show and what they don't."""
    findings.towers()
    clip = findings.found["clip"]
    local = findings.shape("clip.visual.prompt_embeddings", 3)[1]
    findings.read("local", local, f"clip.visual.prompt_embeddings holds {local} global prompts, as many as a frame has")
    if "clip.unified_prompt_embedding.weight" in findings.state:
        rows, columns = findings.shape("clip.unified_prompt_embedding.weight", 2)
        parts = f"{TEXT_PROMPTS} text prompts and {local} a frame"
        if rows <= TEXT_PROMPTS or (rows - TEXT_PROMPTS) % local:
            raise findings.error(f"clip.unified_prompt_embedding has {rows} rows, which is not {parts}")
        findings.read("space", "transformer", "there is clip.unified_prompt_embedding")
        findings.read("frames", (rows - TEXT_PROMPTS) // local, f"{rows} prompts are {parts}")
        findings.read("text", TEXT_PROMPTS, "the authors' number, by which the frames were counted")
        heads = f"the prompt block's heads are not in the weights: {clip.vision_width} / 64"
        findings.assume("prompt_heads", max(1, clip.vision_width // HEAD_WIDTH), heads)
    else:
        columns = findings.shape("clip.visual_prompt_embedding", 3)[2]
        findings.read("space", "linear", "there is clip.visual_prompt_embedding")
        findings.read("text", 2 * local, "the prompts of a frame are projected twice")
        findings.assume("frames", 12, "frames are not in the weights: the authors took 64 for ActivityNet")
    layers = columns // clip.vision_width
    if columns % clip.vision_width or not clip.vision_layers <= layers <= clip.text_layers:
        raise findings.error(
            f"its prompts hold {columns} numbers each, which is not one {clip.vision_width}-wide prompt for every block"
        )
    findings.read("layers", layers, f"prompts of {columns} numbers, {clip.vision_width} for a block")
    findings.assume("max_tokens", 32, "token positions are not in the weights: the authors took 64 for ActivityNet")
    findings.assume("output", "global_prompt0", "which output is the video is not in the weights")


def build(options: Mapping[str, Any]) -> Dgl:
    """The model of settled options, with random weights."""
    names = ("space", "frames", "layers", "text", "local")
    prompts = PromptConfig(**{name: options[name] for name in names}, heads=options.get("prompt_heads"))
    more = {name: options[name] for name in ("max_tokens", "output", "clip")}
    return Dgl(DglConfig(prompts=prompts, **more))


def unused(findings: Findings) -> tuple[str, ...]:
    """Prefixes of tensors that the authors' own inference doesn't read."""
    return ("clip.visual.frame_embedding",)
