"""A state_dict as Paddle saves it (.pdparams): one pickle of numpy arrays, whose numbers lie in it."""

from __future__ import annotations

import math
from mmap import ACCESS_READ, mmap
from typing import Any, BinaryIO

import torch

from .faults import Damaged, Forbidden
from .known_globals import Inert, Known, inert, mapping
from .pickle_reader import PickleReader
from .stored import Storage, StoredTensor, tensor_of

# The protocol, and before a dictionary's beginning maybe the length of a frame.
HEAD = 12
_PROTOCOL, _FRAME, _DICTIONARY = 0x80, 0x95, ord("}")

_DTYPES = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}
# numpy 2 calls its module otherwise.
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


def is_paddles(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a pickled dictionary, which none of torch's is."""
    if len(head) < HEAD or head[0] != _PROTOCOL:
        return False
    return head[2] == _DICTIONARY or (head[2] == _FRAME and head[HEAD - 1] == _DICTIONARY)


class PaddleFile:
    """An open file of that kind.

    Attributes:
        value: tensors by name, and what else the file holds.

    Raises:
        Damaged: no such file.
        Forbidden: it asks for an object that isn't an array.
    """

    value: Any

    def __init__(self, stream: BinaryIO) -> None:
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
            found = PickleReader(data, _Names(len(data)).find).read()
        if not isinstance(found, dict):
            raise Damaged("it holds no dictionary")
        self._raw: dict[str, bytes] = {}
        self.value = {name: self._keep(value) if isinstance(value, _Array) else value for name, value in found.items()}

    def storage(self, key: str) -> bytearray:
        """The bytes of a tensor's numbers."""
        return bytearray(self._raw[key])

    def _keep(self, array: _Array) -> StoredTensor:
        key = str(len(self._raw))
        stored, self._raw[key] = array.described(key)
        return stored


class _Dtype(Inert):
    """The elements of an array, by numpy's code; ``build`` says how they lie in memory."""

    def __init__(self, code: object = None, *_: object) -> None:
        super().__init__("numpy.dtype")
        self.torchs = _DTYPES.get(code) if isinstance(code, str) else None

    def build(self, state: object) -> None:
        """numpy's state of a dtype: a version, the order of bytes, and what plain numbers don't have."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise Damaged("its numbers have the big end first, or are none: load and save it on another machine")


class _Array(Inert):
    """An array whose ``build`` says all there is."""

    def __init__(self, *_: object) -> None:
        super().__init__("numpy.ndarray")
        self._state: tuple[torch.dtype, tuple[int, ...], bool, bytes] | None = None

    def build(self, state: object) -> None:
        """numpy's state of an array: version, shape, dtype, whether columns come first, and the numbers."""
        match state:
            case (int(), tuple(shape), _Dtype(torchs=torch.dtype() as dtype), bool(columns), bytes(raw)):
                if all(type(size) is int and size >= 0 for size in shape):
                    self._state = dtype, shape, columns, raw
                    return
        raise Damaged("an array is described in a way that numpy doesn't write, or is of no plain numbers")

    def described(self, key: str) -> tuple[StoredTensor, bytes]:
        """The tensor, stored under ``key``, and its numbers."""
        if self._state is None:
            raise Damaged("an array has no numbers")
        dtype, shape, columns, raw = self._state
        if len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(raw):
            raise Damaged(f"an array {list(shape[:8])} has {len(raw)} bytes")
        inner = shape if columns else shape[::-1]
        # No array of no numbers needs steps, and sizes beside a zero may be beyond any.
        strides = tuple(math.prod(inner[:place]) if raw else 0 for place in range(len(inner)))
        stored = tensor_of(Storage(key, dtype, math.prod(shape)), 0, shape, strides if columns else strides[::-1])
        return stored, raw


class _Names:
    """What the names in such a file stand for; ``size`` is the file's."""

    def __init__(self, size: int) -> None:
        self._left = 4 * size

    def find(self, module: str, name: str) -> object:
        """As ``known_globals.find``, for arrays."""
        path = f"{module}.{name}"
        if module in _MODULES and name == "_reconstruct":
            return Known(path, lambda *_: _Array())
        if path == "numpy.ndarray":
            return inert(path)
        if path == "numpy.dtype":
            return Known(path, _Dtype)
        if path == "_codecs.encode":
            return Known(path, self._bytes)
        if path == "collections.OrderedDict":
            return Known(path, mapping)
        raise Forbidden(path)

    def _bytes(self, text: object, *_: object) -> bytes:
        """Bytes, which old protocols keep as text of one character each."""
        if not isinstance(text, str) or len(text) > self._left:
            raise Damaged("its bytes are more than the file's")
        self._left -= len(text)
        return text.encode("latin-1")
