"""Tensors as a file describes them: nothing is read or allocated until a description has been checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .faults import Damaged

# Beyond any model, and far below what Python or torch can't count.
_MOST = 1 << 48
MOST_DIMS = 32


@dataclass(frozen=True)
class StorageType:
    """The elements of a storage, as a file names them."""

    dtype: torch.dtype


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` elements that the file keeps under ``key``."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage. ``dtype`` is the storage's own, but for storages of bytes."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of its elements, each counted where it is seen."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def spread(self) -> bool:
        """Whether it claims more numbers than are stored for it, as an expanded view does."""
        return self.nbytes > self.storage.nbytes

    def of(self, raw: bytearray) -> Tensor:
        """The tensor, a view of ``raw``, which holds the storage's bytes.

        Raises:
            Damaged: it reaches beyond the storage.
        """
        if 0 in self.shape:
            try:
                return torch.empty(self.shape, dtype=self.dtype)
            except RuntimeError as error:
                raise Damaged(f"a tensor has the shape {list(self.shape)}") from error
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if (last + 1) * self.dtype.itemsize > len(raw):
            raise Damaged(f"a tensor {list(self.shape)} reaches beyond the numbers stored for it")
        numbers = torch.frombuffer(raw, dtype=self.dtype, count=len(raw) // self.dtype.itemsize)
        return numbers.as_strided(self.shape, self.strides, self.offset)


def storage_of(description: Any) -> Storage:
    """The storage that a persistent id of torch describes: kind, type, key, place, elements, and of old files a view.

    Raises:
        Damaged: it describes none.
    """
    match description:
        case ("storage", StorageType(dtype=dtype), str(key), _, int(count)) if 0 <= count <= _MOST:
            return Storage(key, dtype, count)
        case ("storage", StorageType(dtype=dtype), str(key), _, int(count), None) if 0 <= count <= _MOST:
            return Storage(key, dtype, count)
    raise Damaged("a storage is described in a way that torch doesn't write")


def tensor_of(storage: Any, offset: Any, shape: Any, strides: Any, dtype: Any = None) -> StoredTensor:
    """The tensor that these arguments of torch's rebuild functions describe.

    Raises:
        Damaged: they describe none.
    """
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype | None):
        raise Damaged("a tensor is described without a storage")
    sizes, steps = _numbers(shape), _numbers(strides)
    if len(sizes) != len(steps):
        raise Damaged(f"a tensor has {len(sizes)} sizes and {len(steps)} strides")
    (start,) = _numbers((offset,))
    return StoredTensor(storage, dtype or storage.dtype, start, sizes, steps)


def _numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > MOST_DIMS:
        raise Damaged("a tensor's sizes are no short list of numbers")
    if not all(type(value) is int and 0 <= value <= _MOST for value in values):
        raise Damaged("a tensor's sizes are no whole numbers from 0 up")
    return tuple(values)
