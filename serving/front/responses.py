"""ModelInferResponses. What tells of their tensors is the same for most answers of a model, so it is made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.models import CUT
from .public import VERSION
from .upstream import Output

# Tensors follow as fields of this number, each with its tag and its length in front.
_RAW = bytes([pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3 | 2])
_CACHED = 1 << 10

Described = tuple[str, str, tuple[int, ...]]


def response(model: str, id_: str, outputs: Sequence[Output], cut: Sequence[int] = ()) -> bytes:
    """The message with these outputs.

    Args:
        id_: of the request.
        cut: the rows whose texts are longer than what is read of them.
    """
    described = tuple((output.name, output.datatype, tuple(output.shape)) for output in outputs)
    # What only this request has is not worth keeping.
    head = _encoded(model, id_, described, cut) if id_ or cut else _usual(model, described)
    parts: list[bytes | memoryview] = [head]
    for output in outputs:
        parts += (_RAW, _varint(len(output.raw)), output.raw)
    return b"".join(parts)


@lru_cache(_CACHED)
def _usual(model: str, described: Sequence[Described]) -> bytes:
    return _encoded(model, "", described, ())


def _encoded(model: str, id_: str, described: Sequence[Described], cut: Sequence[int]) -> bytes:
    made = pb.ModelInferResponse(model_name=model, model_version=VERSION, id=id_)
    if cut:
        made.parameters[CUT].string_param = ",".join(map(str, cut))
    for name, datatype, shape in described:
        made.outputs.add(name=name, datatype=datatype, shape=shape)
    encoded: bytes = made.SerializeToString()
    return encoded


def _varint(number: int) -> bytes:
    """A number as protobuf has it: seven bits a byte, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
