"""Large requests: their outer fields read as they arrive, and their tensors written into shared memory.

A ModelInferRequest is a sequence of fields, each a tag, a length and so many bytes. Tensors are the last of them in
every message that a protobuf library writes, so all else is known, and checked, before the first byte of a tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_CANDIDATE_BYTES, MAX_SEGMENT_BYTES
from ...export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, CUTTING, TEXT, TEXT_LENGTH
from .fields import LEAST, Field, Fields
from .messages import SMALL_BYTES
from .requests import Asked, Input, check_sizes
from .slot import Slot
from .upstream import Tensor

# All of a request but its tensors: names, types and shapes.
LARGEST_HEAD = 64 << 10
# Tensors up to this size travel with the request.
_IN_REQUEST = 64 << 10
# These are read here, by the door, and may have so many bytes.
_READ_HERE = {
    TEXT: SMALL_BYTES,
    TEXT_LENGTH: SMALL_BYTES,
    CANDIDATES: MAX_CANDIDATE_BYTES,
    CANDIDATE_LENGTHS: SMALL_BYTES,
    CUTTING: MAX_SEGMENT_BYTES,
}
TENSORS = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER


async def receive(
    fields: Fields,
    read: Callable[[Any], Asked],
    take_slot: Callable[[], Awaitable[Slot]],
    digested: Callable[[], bool],
) -> tuple[Asked, list[Tensor]]:
    """A large request, and its tensors in the order of its inputs.

    Args:
        read: checks all of a request but its tensors.
        take_slot: waits for a place in shared memory; called at most once, when the first tensor needs it.
        digested: whether digests of tensors in shared memory are wanted; called once all but the tensors was read.

    Raises:
        InvalidRequest: it doesn't fit its model, or is not as protobuf writes it.
        ServerUnavailable: the machine's shared memory is full.
    """
    head, counted = bytearray(), 0
    asked: Asked | None = None
    slot: Slot | None = None
    tensors: list[Tensor] = []
    while (field := await fields.next()) is not None:
        if field.number != TENSORS:
            if asked is not None:
                raise InvalidRequest("a large request has its tensors last")
            counted += max(LEAST, len(field.header) + field.size)
            if counted > LARGEST_HEAD:
                raise InvalidRequest("a large request sends its tensors as raw_input_contents")
            head += field.header + await fields.whole(field)
            continue
        if asked is None:
            asked = read(_parsed(bytes(head)))
        if len(tensors) == len(asked.inputs):
            raise InvalidRequest(f"the request has {len(tensors)} inputs and the bytes of more")
        wanted = asked.inputs[len(tensors)]
        check_sizes([field.size], [wanted])
        if field.size <= _IN_REQUEST or wanted.name in _READ_HERE:
            most = _READ_HERE.get(wanted.name, _IN_REQUEST)
            tensors.append(Tensor(wanted.name, wanted.datatype, wanted.shape, await fields.whole(field, most)))
        else:
            slot = slot or await take_slot()
            tensors.append(await _stored(fields, field, wanted, slot, digested=digested()))
    if asked is None or len(tensors) != len(asked.inputs):
        raise InvalidRequest(f"the request has the bytes of {len(tensors)} of its inputs")
    return asked, tensors


async def _stored(fields: Fields, field: Field, wanted: Input, slot: Slot, *, digested: bool) -> Tensor:
    place, hashed = slot.begin(), hashlib.sha256()
    async for part in fields.parts(field):
        slot.write(part)
        if digested:
            hashed.update(part)
    stored = Tensor(wanted.name, wanted.datatype, wanted.shape, region=slot.region, offset=place, size=field.size)
    return stored._replace(digest=hashed.digest()) if digested else stored


def _parsed(head: bytes) -> Any:
    try:
        return pb.ModelInferRequest.FromString(head)
    except DecodeError as error:
        raise InvalidRequest("the message is no ModelInferRequest") from error
