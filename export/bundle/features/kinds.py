"""The types of numbers that features may be of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InvalidFeatures

# safetensors' names of them, by numpy's.
KINDS = {
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
}


def check_kind(name: str, dtype: np.dtype[Any]) -> None:
    """Refuse what is no number.

    Raises:
        InvalidFeatures: of another type.
    """
    if dtype.name not in KINDS:
        raise InvalidFeatures(f"{name!a:.60} is {dtype!s:.60}: features are numbers, {', '.join(KINDS)}")
