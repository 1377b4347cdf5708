"""RVTR (IEEE TMM 2023), from the paper: a training that calibrates noisy pairs, of CLIP4Clip's model.

The authors published neither code nor weights. What they describe belongs to training; this is the model that it
trains, without the tensors that only training reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..encoders.clip import ClipConfig
from .card import Example, Sign
from .clip import SMALL, with_clip
from .clip4clip import CLIP4CLIP, Clip4Clip
from .clip4clip_base import SMALL_HEADER, Clip4ClipConfig, infer_header, unused
from .weights import Weights

# What training alone reads, under names of framesift's own.
TRAINING = ("uncertainty.", "identifier.")


class Rvtr(Clip4Clip):
    """As ``Clip4Clip``, under its own name."""

    name = "rvtr"


def infer(weights: Weights) -> ClipConfig:
    """As CLIP4Clip's, for headers that give one vector a side.

    Raises:
        CheckpointError: the header is tightTransf.
    """
    clip = infer_header(weights)
    if weights.found["header"] == "tightTransf":
        raise weights.error("its header is tightTransf, which has no vector a side: export it with --system clip4clip")
    return clip


def build(clip: ClipConfig, options: Mapping[str, Any]) -> Rvtr:
    """The module of all options, with random weights."""
    return Rvtr(Clip4ClipConfig(**with_clip(clip, options)))


RVTR = replace(
    CLIP4CLIP,
    name="rvtr",
    title="RVTR",
    signs=tuple(Sign(prefix, f"it has {prefix.rstrip('.')} beside CLIP4Clip's tensors") for prefix in TRAINING),
    infer=infer,
    build=build,
    unused=lambda found: (*unused(found), *TRAINING),
    lengths=((12, 32),),
    code="",
    checkpoints="none, from the paper",
    examples=(Example("", SMALL, {"header": "seqTransf"}, SMALL_HEADER),),
)
