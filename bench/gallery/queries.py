"""Queries for records without a model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...export.bundle.topk_attention import text_record
from .records import SHAPE


def text(count: int) -> dict[str, npt.NDArray[np.float32]]:
    """Text records float32 [count, ...] by name."""
    values = np.random.default_rng(5)
    return {spec.name: values.standard_normal((count, *spec.shape), np.float32) for spec in text_record(SHAPE)}
