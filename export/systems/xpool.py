"""X-Pool (Gorti et al., CVPR 2022): the reference model that keeps every frame and has no temporal encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bundle.manifest import FrameProfile
from ..encoders.clip import VIT_B_32, ClipConfig
from .card import Example, Sign, SystemCard
from .clip import SMALL, TEXT_HEADS, VISION_HEADS, read_towers, with_clip
from .dong2026 import ATTENTION_HEADS, Dong2026, Dong2026Config
from .options import FRAME_COUNT
from .preprocessing import Preprocessing


class XPool(Dong2026):
    """As ``Dong2026``, under its own name."""

    name = "xpool"


def build(clip: ClipConfig, options: Mapping[str, Any]) -> XPool:
    """The module of all options, with random weights."""
    return XPool(Dong2026Config(**with_clip(clip, options), top_k=options["frames"], temporal="none"))


XPOOL = SystemCard(
    name="xpool",
    title="X-Pool",
    signs=(Sign("pool_frames.", "it has X-Pool's pool_frames"),),
    infer=read_towers,
    options=(FRAME_COUNT, ATTENTION_HEADS, VISION_HEADS, TEXT_HEADS),
    build=build,
    # The authors pad a text with its own end token. The first one is read and the tower is causal, so zeros give the
    # same and leave no doubt about which token is the end.
    preprocessing=Preprocessing(FrameProfile(sampler="uniform_middle", resize="tensor_bicubic", missing="repeat")),
    sizes=VIT_B_32,
    lengths=((12, 77),),
    code="layer6ai-labs/xpool",
    checkpoints="four, linked in the repository",
    examples=(Example("", SMALL),),
)
