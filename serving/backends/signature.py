"""What a model's configuration says of its inputs and outputs, as numpy sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# The server's name of every element type that numpy has. Strings are arrays of objects.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "TYPE_BOOL": np.dtype(np.bool_),
    "TYPE_UINT8": np.dtype(np.uint8),
    "TYPE_UINT16": np.dtype(np.uint16),
    "TYPE_UINT32": np.dtype(np.uint32),
    "TYPE_UINT64": np.dtype(np.uint64),
    "TYPE_INT8": np.dtype(np.int8),
    "TYPE_INT16": np.dtype(np.int16),
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_INT64": np.dtype(np.int64),
    "TYPE_FP16": np.dtype(np.float16),
    "TYPE_FP32": np.dtype(np.float32),
    "TYPE_FP64": np.dtype(np.float64),
    "TYPE_STRING": np.dtype(np.object_),
}


@dataclass(frozen=True)
class Slot:
    """One configured input or output; ``dims`` has -1 where it varies and leaves out the batch."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...]
    batched: bool
    optional: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """``dims`` with the batch, if there is one, in front."""
        return (-1, *self.dims) if self.batched else self.dims

    def mismatch(self, array: np.ndarray[Any, Any]) -> str | None:
        """Why ``array`` is not what was configured, or None if it is."""
        if array.dtype != self.dtype and not (self.dtype.kind == "O" and array.dtype.kind in "OSU"):
            return f"{self.name} is {array.dtype}, expected {self.dtype}"
        if not fits(array.shape, self.shape):
            return f"{self.name} has the shape {list(array.shape)}, expected {list(self.shape)}"
        return None


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether an array's shape is what is wanted, with -1 where it varies."""
    return len(wanted) == len(shape) and all(w in (-1, n) for w, n in zip(wanted, shape, strict=True))


def read_slots(config: Mapping[str, Any], which: str) -> dict[str, Slot]:
    """The inputs (``which`` is "input") or outputs ("output") of a model's configuration, by name.

    A port that the server reshapes on its way is left out: its dims are not those the model sees. So is one of a type
    that numpy lacks.
    """
    batched = config.get("max_batch_size", 0) > 0
    ports: Iterable[Mapping[str, Any]] = config.get(which, ())
    return {
        port["name"]: Slot(
            port["name"],
            DTYPES[port["data_type"]],
            tuple(int(d) for d in port["dims"]),
            batched,
            bool(port.get("optional", False)),
        )
        for port in ports
        if port["data_type"] in DTYPES and "reshape" not in port
    }
