"""X-Pool (Gorti et al., CVPR 2022): the reference model that keeps every frame and has no temporal encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .dong2026 import Config, Dong2026
from .inspection import Findings

SYSTEM = "xpool"
SCORER = "topk_attention"


def examine(findings: Findings) -> None:
    """What the weights show and what they don't."""
    findings.towers()
    findings.assume("frames", 12, "frames are not in the weights")
    findings.assume("heads", 1, "the attention's heads are not in the weights")


def build(options: Mapping[str, Any]) -> Dong2026:
    """The model of settled options, with random weights."""
    return Dong2026(Config(**options, top_k=options["frames"], temporal="none"))


def unused(findings: Findings) -> tuple[str, ...]:
    """No tensor is left out."""
    return ()
