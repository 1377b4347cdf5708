"""Requests as a client of KServe v2 writes them, and bodies as an ASGI server hands them over."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import np_to_triton_dtype

from framesift.serving.front.asgi import Event, Receive

Arrays = dict[str, np.ndarray]


def search(texts: Sequence[bytes] = (b"a red circle",), top: int = 3) -> Arrays:
    """The inputs of a search."""
    width = max(map(len, texts))
    return {
        "text": np.stack([np.frombuffer(text.ljust(width, b"\0"), np.uint8) for text in texts]),
        "text_length": np.array([[len(text)] for text in texts], np.int32),
        "top": np.full((len(texts), 1), top, np.int32),
    }


def request(model: str, arrays: Arrays, **fields: Any) -> Any:
    """A ModelInferRequest with raw tensors."""
    made = pb.ModelInferRequest(model_name=model, **fields)
    for name, array in arrays.items():
        made.inputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        made.raw_input_contents.append(array.tobytes())
    return made


def framed(*messages: bytes) -> bytes:
    """Messages as gRPC frames them."""
    return b"".join(struct.pack(">BI", 0, len(message)) + message for message in messages)


def body(parts: Iterable[bytes], *, leaves: bool = False) -> Receive:
    """What an ASGI server's ``receive`` gives for a body of these parts; then the client may leave."""
    events = _events(list(parts), leaves)

    async def receive() -> Event:
        return next(events)

    return receive


def _events(parts: list[bytes], leaves: bool) -> Iterator[Event]:
    for number, part in enumerate(parts):
        more = leaves or number + 1 < len(parts)
        yield {"type": "http.request", "body": part, "more_body": more}
    while True:
        yield {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b"", "more_body": False}
