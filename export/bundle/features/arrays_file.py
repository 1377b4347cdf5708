"""A feature file to its arrays. It may come from anybody: nothing in it is run, and its sizes are checked first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ..errors import InvalidFeatures
from ..limits import MAX_FEATURE_BYTES
from .npz import read_npz
from .tensors_file import read_tensors

Arrays = Mapping[str, npt.NDArray[Any]]

_ZIP = b"PK\x03\x04"


def read_arrays(data: memoryview, largest: int = MAX_FEATURE_BYTES) -> Arrays:
    """Every array of an npz or safetensors file, by name.

    Args:
        data: uint8, the file's content.
        largest: the most bytes of all arrays, unpacked.

    Raises:
        InvalidFeatures: neither format, damaged, or larger than that.
    """
    if not len(data):
        raise InvalidFeatures("the feature file is empty")
    read = read_npz if bytes(data[:4]) == _ZIP else read_tensors
    return read(data, largest)
