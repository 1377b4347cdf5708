"""Answers over plain HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .asgi import Scope, Send

JSON = b"application/json"
_UNAUTHORIZED, _BUSY = 401, 503


@dataclass(frozen=True)
class Stream:
    """So many bytes that are read while they are sent; ``close`` is called in any case, once."""

    size: int
    parts: AsyncIterator[bytes]
    close: Callable[[], None]


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        kind: its media type.
        headers: those beside its length.
        stream: the body itself, where it is not in memory.
    """

    status: int
    body: bytes = b""
    kind: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()
    stream: Stream | None = None

    def with_headers(self, *headers: tuple[bytes, bytes]) -> Reply:
        """The same with further headers."""
        return replace(self, headers=(*self.headers, *headers))

    @property
    def length(self) -> int:
        """All of its bytes."""
        return len(self.body) if self.stream is None else self.stream.size


def json_reply(values: Any, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """Values of JSON's types as an answer."""
    return Reply(status, json.dumps(values, ensure_ascii=False, allow_nan=False).encode(), JSON, headers)


async def send_reply(scope: Scope, send: Send, reply: Reply) -> None:
    """Send an answer, to HEAD without its body.

    Raises:
        ClientGone: the client has left.
    """
    headers = [(b"content-type", reply.kind), (b"content-length", b"%d" % reply.length), *reply.headers]
    if reply.status == _BUSY:
        headers.append((b"retry-after", b"1"))
    elif reply.status == _UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if reply.stream is not None and scope["method"] != "HEAD":
            async for part in reply.stream.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            # Once this is taken there is room for the end, which a server would hold back otherwise, and go on waiting.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
    finally:
        if reply.stream is not None:
            reply.stream.close()
