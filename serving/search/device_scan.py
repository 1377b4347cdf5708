"""Ranking by the scorers of plain vectors on a device that torch knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .compiled import CompiledRanker
from .following import Follower
from .onnx_scorer import Floats, Tensors
from .view import View

if TYPE_CHECKING:
    from ...kernels.device_pairs import ResidentPairs

_log = logging.getLogger(__name__)
# How far a device's scores may be from the graph's, as a share of the largest: texts may be rounded to 16 bits there.
_AGREED = 1e-3


@dataclass(frozen=True)
class DeviceScanRanker(CompiledRanker):
    """Ranks with a copy of the gallery on a device; without it once the gallery has outgrown the device."""

    resident: ResidentPairs = field(kw_only=True)
    follower: Follower = field(default_factory=Follower, kw_only=True)

    def best(self, view: View, text: Tensors, tops: Sequence[int]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """As ``CompiledRanker.best``."""
        if not len(view.timestamps):
            return super().best(view, text, tops)
        scan = self.make(text, view.tensors)
        self.follower.follow(view, lambda anew: self.resident.follow(scan, anew=anew))
        if not view.count or not self.follower.searches(view):
            return super().best(view, text, tops)
        return self.resident.search(scan, min(max(tops), view.count), view.live())


def device_ranker(
    ranker: CompiledRanker, resident: ResidentPairs, text: Tensors, records: Tensors, scores: Floats
) -> CompiledRanker:
    """The ranker on the device, once it has given those ``scores`` [Q, V] there; as it was where it doesn't.

    What is wrong on a device must not be served, and what doesn't start there is no reason not to serve.
    """
    scan = ranker.make(text, records)
    try:
        resident.follow(scan, anew=True)
        found, rows = resident.search(scan, scores.shape[1], None)
    except Exception as error:
        _log.error("the processor searches, because the kernel of %s did not run: %s", scan.name, error)
        return ranker
    worst = np.abs(np.take_along_axis(scores, rows, 1) - found).max()
    if not worst <= _AGREED * np.abs(scores).max():
        _log.error("the processor searches, because the kernel of %s is off by %.1e here", scan.name, worst)
        return ranker
    return DeviceScanRanker(ranker.library, ranker.make, ranker.weigh, resident=resident)
