"""CLIP: both towers under the names of OpenAI's state_dict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from .clip_text import TextTower
from .clip_vision import VisionTower


@dataclass(frozen=True)
class ClipConfig:
    """Sizes of both towers. Attention heads are width / 64 where not given, as in every CLIP that OpenAI released."""

    embed_dim: int = 512
    image_size: int = 224
    patch: int = 32
    vision_width: int = 768
    vision_layers: int = 12
    text_width: int = 512
    text_layers: int = 12
    vocab_size: int = 49408
    context_length: int = 77
    vision_heads: int | None = None
    text_heads: int | None = None

    @staticmethod
    def from_state(state: Mapping[str, Tensor], prefix: str = "clip.") -> ClipConfig:
        """Read the sizes off a state_dict with OpenAI's names.

        Raises:
            KeyError: a tensor that shows a size is missing.
        """

        def shape(name: str) -> torch.Size:
            return state[prefix + name].shape

        def layers(tower: str) -> int:
            stem = f"{prefix}{tower}transformer.resblocks."
            return len({k[len(stem) :].split(".")[0] for k in state if k.startswith(stem)})

        patch = shape("visual.conv1.weight")[-1]
        grid = math.isqrt(shape("visual.positional_embedding")[0] - 1)
        return ClipConfig(
            embed_dim=shape("text_projection")[1],
            image_size=grid * patch,
            patch=patch,
            vision_width=shape("visual.conv1.weight")[0],
            vision_layers=layers("visual."),
            text_width=shape("ln_final.weight")[0],
            text_layers=layers(""),
            vocab_size=shape("token_embedding.weight")[0],
            context_length=shape("positional_embedding")[0],
        )


VIT_B_32 = ClipConfig()
VIT_B_16 = ClipConfig(patch=16)
VIT_L_14 = ClipConfig(embed_dim=768, patch=14, vision_width=1024, vision_layers=24, text_width=768, text_layers=12)
# The demo checkpoint's towers: small enough to train on two CPU cores; its vocabulary comes from its captions.
TINY = ClipConfig(
    embed_dim=128, image_size=48, patch=16, vision_width=128, vision_layers=3, text_width=128, text_layers=2
)
ARCHITECTURES = {"ViT-B/32": VIT_B_32, "ViT-B/16": VIT_B_16, "ViT-L/14": VIT_L_14, "tiny": TINY}


Vision = TypeVar("Vision", bound=VisionTower)


class Towers(TextTower, Generic[Vision]):
    """OpenAI's layout: the text tower's tensors at the top, the vision tower's under ``visual``.

    Args:
        vision: the vision tower, which a published system may have changed.
        temperature: whether there is a ``logit_scale``.
    """

    visual: Vision

    def __init__(self, config: ClipConfig, vision: Vision, *, temperature: bool = True) -> None:
        super().__init__(
            width=config.text_width,
            layers=config.text_layers,
            vocab_size=config.vocab_size,
            context_length=config.context_length,
            embed_dim=config.embed_dim,
            heads=config.text_heads,
        )
        self.visual = vision
        if temperature:
            self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


class VisionSizes(TypedDict):
    """A vision tower's arguments."""

    width: int
    layers: int
    patch: int
    image_size: int
    embed_dim: int
    heads: int | None


def vision_sizes(config: ClipConfig) -> VisionSizes:
    """The vision tower's part of a configuration."""
    return {
        "width": config.vision_width,
        "layers": config.vision_layers,
        "patch": config.patch,
        "image_size": config.image_size,
        "embed_dim": config.embed_dim,
        "heads": config.vision_heads,
    }


class Clip(Towers[VisionTower]):
    """CLIP with its own vision tower."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__(config, VisionTower(**vision_sizes(config)))

    def encode_frames(self, frames: Tensor) -> Tensor:
        """uint8 RGB [V, F, 3, H, W] to raw frame embeddings [V, F, D]."""
        return self.visual(frames.flatten(0, 1)).unflatten(0, (-1, frames.shape[1]))
