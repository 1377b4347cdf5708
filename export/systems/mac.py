"""MAC (Shu et al., IEEE TMM 2024), from the paper: a masked pre-training whose towers are Frozen in Time's.

The authors published neither code nor weights. Masking is a device of the pre-training; nothing is masked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .card import Example, Sign
from .frozen import FROZEN, SMALL, Frozen, FrozenConfig, read_sizes, with_options


class Mac(Frozen):
    """As ``Frozen``; its blocks may attend to space and time at once."""

    name = "mac"


def build(sizes: FrozenConfig, options: Mapping[str, Any]) -> Mac:
    """The module of all options, with random weights."""
    return Mac(with_options(sizes, options), options["frames"], options["max_tokens"])


MAC = replace(
    FROZEN,
    name="mac",
    title="MAC",
    signs=(Sign("video_model.temporal_embed", "it has Frozen in Time's names and no divided attention"),),
    infer=read_sizes,
    build=build,
    code="",
    checkpoints="none, from the paper",
    examples=(Example("", SMALL, {"attention": "joint"}, {"moments": 3}),),
)
