"""A film that is indexed segment by segment: one request of a client, and one to the served models for each segment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import numpy as np

from ...export.bundle.cut_request import CutRequest
from ...export.bundle.errors import ServerUnavailable
from ...export.bundle.ports import CUTTING, PART, SPAN, VERSION
from ...export.bundle.video.part import Part
from .upstream import Output, Tensor

# Segments of one film upstream at once: while one is decoded the one before it is encoded.
_AT_ONCE = 2
# A segment that is refused because much else is to be done is sent again.
_TRIES, _PAUSE_S = 8, 0.5

Send = Callable[[Sequence[Tensor], Sequence[str]], Awaitable[list[Output]]]


def cut_request(tensors: Sequence[Tensor]) -> CutRequest | None:
    """How the film of a request is cut; None where it is not.

    Raises:
        InvalidRequest: that can't be read.
    """
    raw = next((tensor.raw for tensor in tensors if tensor.name == CUTTING), None)
    return None if raw is None else CutRequest.parse(raw)


async def index_segments(
    send: Send, asked: CutRequest, tensors: Sequence[Tensor], outputs: Sequence[str], there: Callable[[], bool]
) -> list[Output]:
    """Have all segments of a file indexed; the answer to the one with which the film became whole, or to the last.

    Args:
        send: asks the served models, for some outputs.
        tensors: of the request; the film lies in shared memory, and is referred to by every segment.
        there: whether the client still waits; without, what is left is dropped, and nothing of the film is kept.

    Raises:
        FramesiftError: a segment's own fault; nothing of the film is kept then.
    """
    draft = uuid4().hex
    rest = [tensor for tensor in tensors if tensor.name != CUTTING]
    wanted = [*dict.fromkeys((*outputs, VERSION, SPAN))]

    async def one(part: Part) -> dict[str, Output]:
        raw = part.json().encode()
        for attempt in range(_TRIES):
            try:
                found = await send([*rest, Tensor(PART, "UINT8", (1, len(raw)), raw)], wanted)
                return {output.name: output for output in found}
            except ServerUnavailable:
                if attempt + 1 == _TRIES or not there():
                    raise
                await asyncio.sleep(_PAUSE_S * (attempt + 1))
        raise AssertionError("a try returns or raises")

    # A film is planned by whoever decodes it, so its first segment tells how many there are.
    begun = list(asked.parts[:1]) or [Part(0, draft, asked.cutting)]
    first = await one(begun[0])
    left = iter(asked.all(int(_numbers(first[SPAN])[1]), draft)[1:])
    last = first

    async def work() -> None:
        nonlocal last
        for part in left:
            if not there():
                return
            found = await one(part)
            if not _committed(last):
                last = found

    workers = [asyncio.ensure_future(work()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        # What is upstream ends by itself, and nobody cancels it; no further segment is begun.
        for _ in left:
            pass
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    if not asked.parts and not _committed(last):
        raise ServerUnavailable("segments of the film were lost, because the server was restarted meanwhile: try again")
    return [last[name] for name in outputs]


def _committed(found: dict[str, Output]) -> bool:
    return bool(_numbers(found[VERSION])[0])


def _numbers(output: Output) -> list[float]:
    dtype = "<f8" if output.datatype == "FP64" else "<i8"
    numbers: list[float] = np.frombuffer(output.raw, dtype).tolist()
    return numbers
