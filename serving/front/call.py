"""One gRPC call over ASGI: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md in HTTP's terms.

It needs a server that sends trailers, the ASGI extension ``http.response.trailers``.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Awaitable, Mapping
from urllib.parse import quote

from .asgi import Event, Receive, Scope, Send
from .messages import Messages
from .record import Record
from .status import Code, Refusal

_CONTENT_TYPE = b"application/grpc"
_HEADERS = [(b"content-type", _CONTENT_TYPE), (b"grpc-accept-encoding", b"identity, deflate, gzip")]
_START = {"type": "http.response.start", "status": 200, "headers": _HEADERS, "trailers": True}
_OK = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_PREFIX = struct.Struct(">BI")
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
# A client accepts 8 KiB of metadata, of which a character may take twelve bytes.
_LONGEST_MESSAGE = 600
# Of an answer that is longer a server takes one part after the other, as its client reads: it would hold the end of one
# that nobody reads back, and go on waiting.
_AT_ONCE = 256 << 10


class Call:
    """A call that has begun: what it asks for, and the way to answer it.

    Attributes:
        path: "/package.Service/Method".
        metadata: the request's headers.
        peer: the client's address, without its port.
        messages: what the client sends.
        record: what is told of it in the end.

    Raises:
        ClientGone: from every method that sends, where the client has left.
    """

    def __init__(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, record: Record) -> None:
        self.path: str = scope["path"]
        self.metadata = headers
        self.peer = peer(scope)
        self.messages = Messages(_ahead(receive), self.metadata.get(b"grpc-encoding", b""))
        self.record = record
        self.receive = receive
        self._send = send
        self._started = self._said = False

    def deadline(self) -> float | None:
        """When the client's patience ends, by the event loop's clock; None where it waits for ever.

        Raises:
            Refusal: a timeout that can't be read.
        """
        timeout = self.metadata.get(b"grpc-timeout")
        if timeout is None:
            return None
        found = _TIMEOUT.fullmatch(timeout)
        if found is None:
            raise Refusal(Code.INVALID_ARGUMENT, "grpc-timeout is not a number and a unit")
        return asyncio.get_running_loop().time() + int(found[1]) * _UNITS_S[found[2]]

    async def answer(self, message: bytes) -> None:
        """Send the one message of a unary call's answer, and end it."""
        self.record.sent = len(message)
        if len(message) > _AT_ONCE:
            await self.say(message)
            await self.finish()
            return
        body = {"type": "http.response.body", "body": _PREFIX.pack(0, len(message)) + message}
        # All of it is handed over before any of it is waited for, so that a server may write it at once.
        for taken in [self._send(event) for event in (_START, body, _OK)]:
            await taken

    async def say(self, message: bytes) -> None:
        """Send one message of a stream."""
        await self._start()
        self._said = True
        framed = _PREFIX.pack(0, len(message)) + message
        for place in range(0, len(framed), _AT_ONCE):
            await self._part(framed[place : place + _AT_ONCE])

    async def _part(self, part: bytes) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def finish(self, code: Code = Code.OK, message: str = "") -> None:
        """End a stream, or a call of which nothing was answered."""
        await self._start()
        if self._said:
            # Once this is taken there is room for the end.
            await self._part(b"")
        await self._send({"type": "http.response.body", "body": b""})
        if code is Code.OK:
            await self._send(_OK)
            return
        told = quote(message[:_LONGEST_MESSAGE], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
        headers = [(b"grpc-status", b"%d" % code), (b"grpc-message", told.encode())]
        await self._send({"type": "http.response.trailers", "headers": headers})

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await self._send(_START)


def _ahead(receive: Receive) -> Receive:
    """``receive`` that has been asked once: what takes a server a while is done while the call is looked at."""
    begun = [receive()]

    def next_() -> Awaitable[Event]:
        return begun.pop() if begun else receive()

    return next_


def is_grpc(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request is a gRPC call."""
    return method == "POST" and headers.get(b"content-type", b"").startswith(_CONTENT_TYPE)


def peer(scope: Scope) -> str:
    """The client's address without its port; empty on a unix socket."""
    client = scope.get("client")
    return client[0] if client else ""
