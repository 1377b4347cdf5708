"""Feature files, right and wrong, for tests of what reads them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile

PROFILE = FeatureProfile(
    "pooled", (FeatureArray("2d", ("rows", 6)), FeatureArray("3d", ("steps", 4)), FeatureArray("more", (2,), True))
)


def arrays(rows: int = 3) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(rows)
    return {
        "2d": random.standard_normal((rows, 6), np.float32),
        "3d": random.standard_normal((rows + 1, 4), np.float32).astype(np.float16),
    }


def npz(values: Mapping[str, Any], *, packed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **values)
    return stream.getvalue()


def tensors(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
