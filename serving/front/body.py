"""The body of a request, as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from .asgi import Receive
from .status import ClientGone, Code, Refusal

# The longest pause within a message, and before its end: who is slower holds a slot or memory for nothing.
PATIENCE_S = 30.0
# Bytes a second below which all of it takes too long, however evenly it drips.
SLOWEST = 128 << 10
_LONGEST_NUMBER = 20


async def next_part(
    receive: Receive, patience_s: float | None, given_up: asyncio.Future[None] | None = None
) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether more will follow.

    Args:
        given_up: done once nobody is answered any more, whatever comes.

    Raises:
        ClientGone: the client has left, or is given up.
        Refusal: nothing came for ``patience_s``.
    """
    if patience_s is None and given_up is None:
        event = await receive()
    else:
        # Not ``wait_for``: servers do not expect that ``receive`` is cancelled.
        receiving = asyncio.ensure_future(receive())
        awaited: list[asyncio.Future[Any]] = [receiving] if given_up is None else [receiving, given_up]
        done, _ = await asyncio.wait(awaited, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if given_up in done:
            raise ClientGone
        if not done:
            raise Refusal(Code.INVALID_ARGUMENT, f"nothing more of the message came within {patience_s:g} s")
        event = receiving.result()
    if event["type"] != "http.request":
        raise ClientGone
    return event.get("body", b""), bool(event.get("more_body", False))


def announced(headers: Mapping[bytes, bytes], limit: int) -> int:
    """The bytes that a body of at most ``limit`` will have, as far as that is said."""
    told = headers.get(b"content-length", b"")
    return min(int(told), limit) if told.isdigit() and len(told) < _LONGEST_NUMBER else limit


async def whole(receive: Receive, limit: int) -> bytes:
    """All of a body of at most ``limit`` bytes.

    Raises:
        ClientGone: the client has left.
        Refusal: it is longer, or too slow.
    """
    loop = asyncio.get_running_loop()
    found, more, until = bytearray(), True, loop.time() + PATIENCE_S + limit / SLOWEST
    while more:
        part, more = await next_part(receive, max(0.0, min(PATIENCE_S, until - loop.time())))
        found += part
        if len(found) > limit:
            raise Refusal(
                Code.RESOURCE_EXHAUSTED, f"over HTTP a request may have {limit} bytes: send what is larger over gRPC"
            )
    return bytes(found)


async def parts(receive: Receive, size: int) -> AsyncIterator[bytes]:
    """A body of ``size`` bytes, as it arrives.

    Raises:
        ClientGone: the client has left.
        Refusal: it is too slow, or of another size.
    """
    loop = asyncio.get_running_loop()
    until, left, more = loop.time() + PATIENCE_S + size / SLOWEST, size, True
    while more:
        part, more = await next_part(receive, max(0.0, min(PATIENCE_S, until - loop.time())))
        left -= len(part)
        if left < 0:
            break
        if part:
            yield part
    if left:
        raise Refusal(Code.INVALID_ARGUMENT, f"the body is said to have {size} bytes, and has others")
