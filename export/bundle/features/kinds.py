"""The types of numbers that features may be of, and the shapes that files may give them."""

from __future__ import annotations

import math
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
# Sizes of a shape: numpy 1.26 has no array of more, and the product of a hundred thousand takes a second.
_MOST_SIZES = 32


def check_kind(name: str, dtype: np.dtype[Any]) -> None:
    """Refuse what is no number.

    Raises:
        InvalidFeatures: of another type.
    """
    if dtype.name not in KINDS:
        raise InvalidFeatures(f"{name!a:.60} is {dtype!s:.60}: features are numbers, {', '.join(KINDS)}")


def shaped(
    name: str, data: memoryview, dtype: np.dtype[Any], shape: Sequence[int], order: Literal["C", "F"] = "C"
) -> npt.NDArray[Any]:
    """The numbers that bytes are, in the shape that a file gives them.

    Args:
        data: uint8; the array is a view of it.

    Raises:
        InvalidFeatures: they are more or fewer, or no array has such a shape.
    """
    told = f"{name!a:.60} has the shape {list(shape)!s:.60}"
    if len(shape) > _MOST_SIZES:
        raise InvalidFeatures(f"{told}, which no array has: it may have {_MOST_SIZES} sizes")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise InvalidFeatures(f"{told} of {dtype}, but {len(data)} bytes")
    try:
        return np.frombuffer(data, dtype).reshape(shape, order=order)
    # One beyond all memory beside a zero.
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidFeatures(f"{told}, which no array has") from error
