"""TS2-Net (Liu et al., ECCV 2022): patches shifted in time, the best patches of every frame, CLIP4Clip's seqTransf."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...kernels.frame_softmax.reference import frame_softmax, frame_softmax_weights
from ..bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, NOISE, TEXT_EMBEDDING
from ..bundle.scorers import FRAME_SOFTMAX
from ..bundle.spec import TensorSpec
from ..encoders.clip import VIT_B_32, ClipConfig, Towers, vision_sizes
from ..encoders.patch_shift import ShiftTower
from ..encoders.token_selector import SAMPLES, SIGMA, TokenSelector
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, with_clip
from .clip4clip_base import (
    HEADER_HEADS,
    LENGTH_OPTIONS,
    PREPROCESSING,
    SHOWN,
    SMALL_HEADER,
    Clip4ClipBase,
    Clip4ClipConfig,
    infer_header,
    masked_mean,
    unused,
)
from .contract import unit
from .options import TOP_K, Option
from .weights import Weights


@dataclass(frozen=True)
class Ts2NetConfig(Clip4ClipConfig):
    """``samples`` draws of noise a video; 0 selects without noise, unlike the authors and without chance."""

    shift_layers: tuple[int, ...] = (10, 11)
    top_k: int = 3
    sigma: float = SIGMA
    samples: int = SAMPLES


class Ts2Net(Clip4ClipBase[ShiftTower]):
    """Only the selection is random, and it concerns the video alone: noise is an input, drawn once a video.

    ``export/bundle/video/noise.py`` draws it from the video's id.
    """

    name = "ts2net"
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

    @property
    def like_inputs(self) -> tuple[TensorSpec, ...]:
        """The frames and their mask."""
        return self.video_record

    def encode_like(self, *video: Tensor) -> tuple[Tensor]:
        """Unit frame vectors [B, F, D] and mask [B, F] to a text's: the mean of those that count, as long as one."""
        frames, mask = video
        return (self.scale() * masked_mean(frames, mask),)

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


def infer(weights: Weights) -> ClipConfig:
    """What the weights show: towers, header, and which blocks shift patches."""
    clip = infer_header(weights)
    if weights.found["header"] != "seqTransf":
        raise weights.unfit("it has no transformerClip, and the authors' code works with that header only")
    if weights.found.pop("patch3d"):
        raise weights.error("it has three-dimensional patches (clip.visual.conv2), which are not supported here")
    marked = re.compile(r"clip\.visual\.transformer\.resblocks\.(\d+)\.attn\.net\.in_proj_weight")
    layers = tuple(sorted(int(match[1]) for key in weights.state if (match := marked.fullmatch(key))))
    if not layers:
        raise weights.unfit("no block of its vision tower shifts patches (none has attn.net)")
    weights.read("shift_layers", layers, "blocks of the vision tower whose attention lies in attn.net")
    return clip


TS2NET = SystemCard(
    name="ts2net",
    title="TS2-Net",
    signs=(Sign("visual_token_selector.", "it has TS2-Net's visual_token_selector"),),
    infer=infer,
    options=(
        *LENGTH_OPTIONS,
        replace(
            TOP_K,
            default=Ts2NetConfig.top_k,
            why="the number of patches chosen is not in the weights",
            what="patches chosen in a frame",
        ),
        Option("sigma", SIGMA, "the spread of the noise is not in the weights", "spread of the noise"),
        Option(
            "samples",
            SAMPLES,
            "the number of draws is not in the weights; 0 selects without noise",
            "draws; 0 is no noise",
            least=0,
            # Before memory ends.
            most=10_000,
        ),
        replace(HEADER_HEADS, what="of seqTransf"),
        VISION_HEADS,
        TEXT_HEADS,
    ),
    shown={**SHOWN, "header": "seqTransf", "shift_layers": Ts2NetConfig.shift_layers},
    build=lambda clip, options: Ts2Net(Ts2NetConfig(**with_clip(clip, options))),
    preprocessing=PREPROCESSING,
    unused=lambda found: ("visual_prompt_encoder.", "text_token_selector.", *unused(found)),
    sizes=VIT_B_32,
    code="yuqi657/ts2_net",
    checkpoints="none linked",
    examples=(Example("", SMALL, small={**SMALL_HEADER, "shift_layers": (1,), "samples": 6}),),
)
