"""The types of numbers that features may be of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

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


def shaped(name: str, flat: npt.NDArray[Any], shape: Sequence[int], order: Literal["C", "F"] = "C") -> npt.NDArray[Any]:
    """Numbers [N] in the shape that a file gives them, whose sizes multiply to N.

    Raises:
        InvalidFeatures: no array has such a shape.
    """
    try:
        return flat.reshape(shape, order=order)
    # Too many sizes, or one beyond all memory beside a zero.
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidFeatures(f"{name!a:.60} has the shape {list(shape)!s:.60}, which no array has") from error
