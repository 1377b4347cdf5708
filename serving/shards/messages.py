"""What goes between the models and the shards: arrays with a head of JSON, nothing that runs when it is read."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, ServerError, from_wire
from ...export.bundle.packing import pack_joined
from ...export.bundle.ports import ID_LENGTHS, IDS

Arrays = Mapping[str, np.ndarray[Any, Any]]
Part = Arrays | FramesiftError

# What each message is for.
KINDS = SEARCH, CHOOSE, INDEX, LOOKUP = "search", "choose", "index", "lookup"

_LENGTH = struct.Struct("<I")
_DTYPES = frozenset({"<f4", "<f2", "<f8", "<i4", "<i8", "|u1", "|b1"})


@dataclass(frozen=True)
class Message:
    """Several requests, or the answer or error to each, and what is said of all of them."""

    parts: Sequence[Part]
    head: Mapping[str, Any] = field(default_factory=dict)


# Of LOOKUP: no video is looked up, the gallery's version and size are told.
NOTHING = Message([dict(zip((IDS, ID_LENGTHS), pack_joined([]), strict=True))])


def pack(message: Message) -> bytes:
    """A message as bytes."""
    told: list[dict[str, Any]] = []
    raws: list[bytes] = []
    for part in message.parts:
        if isinstance(part, FramesiftError):
            told.append({"error": part.wire()})
            continue
        arrays = {name: np.ascontiguousarray(array) for name, array in part.items()}
        told.append({"arrays": {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}})
        raws += [array.tobytes() for array in arrays.values()]
    head = json.dumps({"head": dict(message.head), "parts": told}, separators=(",", ":")).encode()
    return b"".join([_LENGTH.pack(len(head)), head, *raws])


def unpack(raw: bytes | memoryview) -> Message:
    """A message from its bytes; its arrays can't be written to.

    Raises:
        ServerError: it is none.
    """
    try:
        (size,) = _LENGTH.unpack_from(raw)
        told = json.loads(bytes(raw[_LENGTH.size : _LENGTH.size + size]))
        place = _LENGTH.size + size
        parts: list[Part] = []
        for part in told["parts"]:
            if "error" in part:
                parts.append(from_wire(part["error"]) or ServerError(part["error"]))
                continue
            arrays, place = _arrays(raw, part["arrays"].items(), place)
            parts.append(arrays)
        if place != len(raw):
            raise ValueError(f"{len(raw) - place} bytes are left")
        return Message(parts, dict(told["head"]))
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, RecursionError) as error:
        raise ServerError(f"a message between the models and the shards can't be read: {error}") from error


def _arrays(
    raw: bytes | memoryview, told: Iterable[tuple[str, Any]], place: int
) -> tuple[dict[str, np.ndarray[Any, Any]], int]:
    found = {}
    for name, (dtype, shape) in told:
        if dtype not in _DTYPES:
            raise ValueError(f"{name} has the dtype {dtype!r:.20}")
        count = math.prod(shape)
        found[name] = np.frombuffer(raw, dtype, count, place).reshape(shape)
        place += count * np.dtype(dtype).itemsize
    return found, place
