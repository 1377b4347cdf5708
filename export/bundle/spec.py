"""One named tensor, from a system's record over graphs and galleries to the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

# Triton server's name of every element type, by numpy's. Strings are arrays of objects.
DATA_TYPES: Mapping[str, str] = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "object": "TYPE_STRING",
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, element type and sizes.

    Args:
        dtype: a numpy name: uint8, int64, float32, ..., object for strings.
        dims: a number, or a name or -1 where it varies. The batch is in front where there is one: see ``batched``.
        stored: the dtype in which a gallery keeps it, where it is part of a video record.
        scored: whether the scorer reads it, or only a search's first stage, where it is part of a record.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    stored: str = "float16"
    scored: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """``dims`` with -1 for every dimension that varies."""
        return tuple(-1 if isinstance(d, str) else d for d in self.dims)

    def batched(self, dimension: str) -> TensorSpec:
        """The same tensor with a dimension of that name in front."""
        return replace(self, dims=(dimension, *self.dims))

    def unbatched(self) -> TensorSpec:
        """The same tensor without its first dimension."""
        return replace(self, dims=self.dims[1:])

    def takes_dtype(self, dtype: npt.DTypeLike) -> bool:
        """Whether an array of ``dtype`` holds such elements; strings come in three kinds of arrays."""
        found = np.dtype(dtype)
        return found.kind in "OSU" if self.dtype == "object" else found == np.dtype(self.dtype)

    def takes_shape(self, shape: Sequence[int]) -> bool:
        """Whether an array of ``shape`` has these sizes, whatever they are where they vary."""
        return len(shape) == len(self.dims) and all(w in (-1, n) for w, n in zip(self.shape, shape, strict=True))

    def mismatch(self, array: npt.NDArray[Any], who: str) -> str | None:
        """Why ``array`` is no such tensor, as in "x is int8, ``who`` float32"; None if it is one."""
        if not self.takes_dtype(array.dtype):
            return f"{self.name} is {array.dtype}, {who} {self.dtype}"
        return None if self.takes_shape(array.shape) else self.shape_fault(array, who)

    def shape_fault(self, array: npt.NDArray[Any], who: str) -> str:
        """That ``array`` has another shape, as in "x has the shape [3], ``who`` [4]"."""
        return f"{self.name} has the shape {list(array.shape)}, {who} {list(self.dims)}"


@dataclass(frozen=True)
class GraphPorts:
    """The inputs and outputs of one graph, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
