"""What systems built on CLIP share: towers under ``clip``, their sizes and their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic

import torch
from torch import Tensor

from ..encoders.clip import ClipConfig, Towers, Vision
from ..encoders.heads import usual_heads
from .contract import System
from .options import Option
from .weights import Weights

# Of examples: 56 px in patches of 8 make 50 tokens a frame, enough for patches to be shifted by more than one place.
SMALL = ClipConfig(32, 56, 8, 64, 2, 64, 2, 514, 77)

VISION_HEADS = Option(
    "vision_heads",
    lambda clip, found: usual_heads(clip.vision_width),
    lambda clip, found: f"heads are not in the weights: {clip.vision_width} / 64",
)
TEXT_HEADS = Option(
    "text_heads",
    lambda clip, found: usual_heads(clip.text_width),
    lambda clip, found: f"heads are not in the weights: {clip.text_width} / 64",
)


class ClipSystem(System, Generic[Vision]):
    """A system whose two towers lie under ``clip``."""

    clip: Towers[Vision]

    def standardise(self, frames: Tensor) -> Tensor:
        """As ``System.standardise``, with the vision tower's mean and deviation."""
        return self.clip.visual.standardise(frames)

    @property
    def embed_dim(self) -> int:
        """The width of both towers' embeddings."""
        return self.clip.text_projection.shape[1]

    @property
    def vocab_size(self) -> int:
        """As ``System.vocab_size``."""
        return self.clip.token_embedding.num_embeddings

    @property
    def text_positions(self) -> int:
        """As ``System.text_positions``."""
        return self.clip.positional_embedding.shape[0]

    def random_token_ids(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """As ``System.random_token_ids``; the end token is the largest id of the vocabulary."""
        end = self.vocab_size - 1
        ids = torch.randint(1, end - 1, (rows, length), generator=generator)
        at = torch.randint(1, length, (rows, 1), generator=generator)
        places = torch.arange(length)
        return torch.where(places < at, ids, torch.where(places == at, end, 0))


def read_towers(weights: Weights) -> ClipConfig:
    """The sizes of both towers under ``clip``, but for their heads.

    Raises:
        CheckpointError: a tensor that shows a size is missing or misshapen, or a tower has no blocks.
    """
    dims = {"visual.conv1.weight": 4, "token_embedding.weight": 2, "ln_final.weight": 1}
    tables = dict.fromkeys(("visual.positional_embedding", "positional_embedding", "text_projection"), 2)
    for key, rank in {**dims, **tables}.items():
        weights.shape(f"clip.{key}", rank)
    clip = ClipConfig.from_state(weights.state)
    places = weights.state["clip.visual.positional_embedding"].shape[0]
    if (clip.image_size // clip.patch) ** 2 + 1 != places:
        raise weights.unfit(f"clip.visual.positional_embedding has {places} rows, which is no square and one")
    for tower, layers in (("vision", clip.vision_layers), ("text", clip.text_layers)):
        if not layers:
            raise weights.unfit(f"its {tower} tower has no blocks")
    weights.towers = (
        f"vision {clip.vision_width} wide with {clip.vision_layers} blocks, patch {clip.patch}, "
        f"{clip.image_size} px; text {clip.text_width} wide with {clip.text_layers} blocks, "
        f"{clip.context_length} positions, {clip.vocab_size} tokens; embeddings {clip.embed_dim} wide"
    )
    weights.most["max_tokens"] = clip.context_length, f"its text tower has {clip.context_length} positions"
    return clip


def with_clip(clip: ClipConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a module whose configuration holds ``clip``: the towers' heads go into it."""
    heads = {name: options[name] for name in (VISION_HEADS.name, TEXT_HEADS.name) if name in options}
    return {name: value for name, value in options.items() if name not in heads} | {"clip": replace(clip, **heads)}
