"""TS2-Net (Liu et al., ECCV 2022): patches shifted in time, the best patches of every frame, CLIP4Clip's seqTransf."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...kernels.frame_softmax.reference import frame_softmax, frame_softmax_weights
from ..bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, NOISE, TEXT_EMBEDDING
from ..bundle.scorers import FRAME_SOFTMAX
from ..bundle.spec import TensorSpec
from ..encoders.clip import Towers, vision_sizes
from ..encoders.patch_shift import ShiftTower
from ..encoders.token_selector import SAMPLES, SIGMA, TokenSelector
from . import clip4clip
from .clip4clip_base import Clip4ClipBase, Clip4ClipConfig, assume_lengths, examine_header
from .contract import unit
from .inspection import Findings

SYSTEM = "ts2net"


@dataclass(frozen=True)
class Ts2NetConfig(Clip4ClipConfig):
    """``samples`` draws of noise a video; 0 selects without noise, which the authors don't do but gives no chance."""

    shift_layers: tuple[int, ...] = (10, 11)
    top_k: int = 3
    sigma: float = SIGMA
    samples: int = SAMPLES


class Ts2Net(Clip4ClipBase[ShiftTower]):
    """Only the selection is random, and it concerns the video alone: noise is an input, drawn once a video.

    ``export/bundle/video/noise.py`` draws it from the video's id.
    """

    name = SYSTEM
    scorer = FRAME_SOFTMAX

    def __init__(self, config: Ts2NetConfig) -> None:
        tower = ShiftTower(frames=config.frames, shift_layers=config.shift_layers, **vision_sizes(config.clip))
        super().__init__(config, Towers(config.clip, tower), tokens=1 + config.top_k)
        width, frames = config.clip.embed_dim, config.frames
        patches = (config.clip.image_size // config.clip.patch) ** 2
        if config.top_k > patches:
            raise ValueError(f"top_k is {config.top_k}, a frame has only {patches} patches")
        self.visual_token_selector = TokenSelector(width, top_k=config.top_k, sigma=config.sigma)
        if config.samples:
            self.video_inputs += (TensorSpec(NOISE, "float32", (frames, config.samples, patches)),)
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (width,)),)
        self.video_record = (
            TensorSpec(FRAME_EMBEDDINGS, "float32", (frames, width)),
            TensorSpec(FRAME_MASK, "float32", (frames,)),
        )

    def encode_video(
        self, frames: Tensor, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode clips of exactly the frames that the model was made for, short ones padded.

        Args:
            frames: [V, F, 3, H, W], uint8 or normalised.
            mask: [V, F], 1 for a frame of the video and 0 for padding.
            noise: standard normal [V, F, samples, P]; None selects without noise.

        Returns:
            Unit frame vectors [V, F, D] and the mask [V, F] that their score takes.
        """
        tokens = self.clip.visual.embed_tokens(self.pixels(frames, mask))
        return self.pool(tokens, mask, noise)

    def pool(self, tokens: Tensor, mask: Tensor | None = None, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Projected tokens [V, F, N, D] to the record; mask and noise as in ``encode_video``."""
        mask = tokens.new_ones(tokens.shape[:2]) if mask is None else mask.to(tokens.dtype)
        selected = self.visual_token_selector(tokens, noise)
        return unit(self.mix(selected, mask)), tile(mask, selected.shape[2])[:, :: selected.shape[2]]

    def mix(self, selected: Tensor, mask: Tensor) -> Tensor:
        """Selected tokens [V, F, 1 + K, D] to what the header makes of the class tokens [V, F, D]."""
        each = selected.shape[2]
        return self.through_time(selected.flatten(1, 2), tile(mask, each))[:, ::each]

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to vectors [Q, D] of length exp(logit_scale)."""
        return self.finish_text(self.clip(token_ids))

    def finish_text(self, raw: Tensor) -> tuple[Tensor]:
        """Raw text embeddings [Q, D] to the record."""
        return (self.scale() * unit(raw),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/frame_softmax``."""
        return frame_softmax(text[0], *video)

    def attend(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] and the softmax's weights [Q, V, F]."""
        return frame_softmax_weights(text[0], *video)


def tile(mask: Tensor, times: int) -> Tensor:
    """A frame mask [V, F] for ``times`` tokens a frame, [V, times * F], as the authors have it: whole copies in a row.

    The tokens lie frame by frame, so token t gets the mask of frame t mod F and not of its own. The authors trained and
    measured with this.
    """
    return torch.cat([mask] * times, 1)


def examine(findings: Findings) -> None:
    """What the weights show and what they don't."""
    examine_header(findings)
    if findings.found["header"] != "seqTransf":
        raise findings.error("it has no transformerClip, and the authors' code works with that header only")
    if findings.found.pop("patch3d"):
        raise findings.error("it has three-dimensional patches (clip.visual.conv2), which are not supported here")
    marked = re.compile(r"clip\.visual\.transformer\.resblocks\.(\d+)\.attn\.net\.in_proj_weight")
    layers = tuple(sorted(int(match[1]) for key in findings.state if (match := marked.fullmatch(key))))
    if not layers:
        raise findings.error("no block of its vision tower shifts patches (none has attn.net)")
    findings.read("shift_layers", layers, "blocks of the vision tower whose attention lies in attn.net")
    assume_lengths(findings)
    findings.assume("top_k", 3, "the number of patches chosen is not in the weights")
    findings.assume("sigma", SIGMA, "the spread of the noise is not in the weights")
    findings.assume("samples", SAMPLES, "the number of draws is not in the weights; 0 selects without noise")


def build(options: Mapping[str, Any]) -> Ts2Net:
    """The model of settled options, with random weights."""
    return Ts2Net(Ts2NetConfig(**options))


def unused(findings: Findings) -> tuple[str, ...]:
    """Prefixes of tensors that the authors' own inference doesn't read."""
    return "visual_prompt_encoder.", "text_token_selector.", *clip4clip.unused(findings)
