"""The weights inside an ONNX file, read without its library, which servers don't have.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; the encoding: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import BundleError

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9
_FLOAT = 1
_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}

Value = int | memoryview


def weights(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The float32 weights of a graph by their names, those apart that lie in another file.

    Raises:
        BundleError: not an ONNX file.
    """
    try:
        return {
            name: values
            for graph in _all(memoryview(path.read_bytes()), _GRAPH)
            for tensor in _all(graph, _INITIALIZER)
            for name, values in _weight(tensor)
        }
    except (OSError, IndexError, ValueError) as error:
        raise BundleError(f"the graph {path} can't be read: {error}. Export the model again") from error


def _weight(tensor: memoryview) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    fields = list(_fields(tensor))
    shape = [value for number, value in fields if number == _DIMS and isinstance(value, int)]
    held = dict(fields)
    raw, name = held.get(_RAW), held.get(_NAME)
    if held.get(_TYPE) == _FLOAT and isinstance(raw, memoryview) and isinstance(name, memoryview):
        yield bytes(name).decode(), np.frombuffer(raw, "<f4").reshape(shape)


def _all(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Numbers and values of a message's fields: integers, or what is between two places."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"a field has the unknown kind {kind}")
        if at + size > len(message):
            raise ValueError("it ends too early")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
