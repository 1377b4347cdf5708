"""safetensors files without its library, which a client and the served models would need for nothing else.

A file is the length of a header, 8 bytes, the header as JSON, and the tensors one after another.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidFeatures
from .archive import MOST_ARRAYS
from .kinds import KINDS, check_kind, shaped

_LONGEST_HEADER = 256 << 10
_NUMPY = {short: name for name, short in KINDS.items()}
_NOTES = "__metadata__"
_LENGTH = struct.Struct("<Q")


def read_tensors(data: memoryview, largest: int) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a safetensors file.

    Raises:
        InvalidFeatures: no such file, too large, or with tensors that are not of numbers.
    """
    if len(data) > largest:
        raise InvalidFeatures(f"the feature file has {len(data)} bytes, the limit is {largest}")
    header, start = _header(data)
    if not 1 <= len(header) <= MOST_ARRAYS:
        raise InvalidFeatures(f"the safetensors file has {len(header)} tensors, it may have 1 to {MOST_ARRAYS}")
    return {name: _tensor(name, told, data[start:]) for name, told in header.items()}


def write_tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as a safetensors file: the same bytes for the same arrays, whatever the day.

    Raises:
        InvalidFeatures: an array that is not of numbers.
    """
    header, parts, place = {}, [], 0
    for name, array in sorted(arrays.items()):
        check_kind(name, array.dtype)
        raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        told = {"dtype": KINDS[array.dtype.name], "shape": list(array.shape), "data_offsets": [place, place + len(raw)]}
        header[name] = told
        parts.append(raw)
        place += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((_LENGTH.pack(len(text)), text, *parts))


def _header(data: memoryview) -> tuple[dict[str, Any], int]:
    size = _LENGTH.unpack(data[: _LENGTH.size])[0] if len(data) >= _LENGTH.size else 0
    if not 2 <= size <= min(_LONGEST_HEADER, len(data) - _LENGTH.size):
        raise InvalidFeatures("the file is neither npz nor safetensors: save the arrays by np.savez or safetensors")
    start = _LENGTH.size + size
    try:
        header = json.loads(bytes(data[_LENGTH.size : start]).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidFeatures("the file is neither npz nor safetensors: its header is not JSON") from error
    if not isinstance(header, dict):
        raise InvalidFeatures("the safetensors file's header is no JSON object")
    header.pop(_NOTES, None)
    return header, start


def _tensor(name: str, told: Any, data: memoryview) -> npt.NDArray[Any]:
    try:
        kind, shape, (first, last) = told["dtype"], told["shape"], told["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidFeatures(f"the safetensors file doesn't say what {name!a:.60} is") from error
    if not isinstance(kind, str) or kind not in _NUMPY:
        raise InvalidFeatures(f"{name!a:.60} is {kind!a:.20}: features are numbers, {', '.join(_NUMPY)}")
    numbers = [*shape, first, last] if isinstance(shape, list) else [None]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise InvalidFeatures(f"the safetensors file gives {name!a:.60} no shape and place in whole numbers")
    dtype = np.dtype(_NUMPY[kind]).newbyteorder("<")
    if not first <= last <= len(data):
        raise InvalidFeatures(f"{name!a:.60} is said to lie where the safetensors file has no bytes")
    return shaped(name, data[first:last], dtype, shape)
