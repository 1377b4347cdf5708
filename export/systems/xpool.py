"""X-Pool (Gorti et al., CVPR 2022): the reference model that keeps every frame and has no temporal encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .dong2026 import Dong2026, Dong2026Config
from .inspection import Findings

SYSTEM = "xpool"


class XPool(Dong2026):
    """As ``Dong2026``, under its own name."""

    name = SYSTEM


def examine(findings: Findings) -> None:
    """What the weights show and what they don't."""
    findings.towers()
    findings.assume("frames", 12, "frames are not in the weights")
    findings.assume("heads", 1, "the attention's heads are not in the weights")


def build(options: Mapping[str, Any]) -> XPool:
    """The model of settled options, with random weights."""
    return XPool(Dong2026Config(**options, top_k=options["frames"], temporal="none"))


def unused(findings: Findings) -> tuple[str, ...]:
    """No tensor is left out."""
    return ()
