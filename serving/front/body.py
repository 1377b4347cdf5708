"""The body of a request, as it arrives."""

from __future__ import annotations

import asyncio

from .asgi import Receive
from .status import ClientGone, Code, Refusal

# The longest pause within a message, and before its end: who is slower holds a slot or memory for nothing.
PATIENCE_S = 30.0


async def next_part(receive: Receive, patience_s: float | None) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether more will follow.

    Raises:
        ClientGone: the client has left.
        Refusal: nothing came for ``patience_s``.
    """
    if patience_s is None:
        event = await receive()
    else:
        # Not ``wait_for``: servers do not expect that ``receive`` is cancelled.
        receiving = asyncio.ensure_future(receive())
        if not (await asyncio.wait([receiving], timeout=patience_s))[0]:
            raise Refusal(Code.INVALID_ARGUMENT, f"nothing more of the message came within {patience_s:g} s")
        event = receiving.result()
    if event["type"] != "http.request":
        raise ClientGone
    return event.get("body", b""), bool(event.get("more_body", False))


async def whole(receive: Receive, limit: int) -> bytes:
    """All of a body of at most ``limit`` bytes.

    Raises:
        ClientGone: the client has left.
        Refusal: it is longer, or too slow.
    """
    found, more = bytearray(), True
    while more:
        part, more = await next_part(receive, PATIENCE_S)
        found += part
        if len(found) > limit:
            raise Refusal(
                Code.RESOURCE_EXHAUSTED, f"over HTTP a request may have {limit} bytes: send what is larger over gRPC"
            )
    return bytes(found)
