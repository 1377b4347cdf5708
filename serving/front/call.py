"""One gRPC call over ASGI: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md in HTTP's terms.

It needs a server that sends trailers, the ASGI extension ``http.response.trailers``.
"""

from __future__ import annotations

import asyncio
import re
import struct
from urllib.parse import quote

from .asgi import Receive, Scope, Send
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
        self.messages = Messages(receive, self.metadata.get(b"grpc-encoding", b""))
        self.record = record
        self.receive = receive
        self._send = send
        self._started = False

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
        await self._send(_START)
        await self._send({"type": "http.response.body", "body": _PREFIX.pack(0, len(message)) + message})
        await self._send(_OK)

    async def say(self, message: bytes) -> None:
        """Send one message of a stream."""
        await self._start()
        await self._send(
            {"type": "http.response.body", "body": _PREFIX.pack(0, len(message)) + message, "more_body": True}
        )

    async def finish(self, code: Code = Code.OK, message: str = "") -> None:
        """End a stream, or a call of which nothing was answered."""
        await self._start()
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


def is_grpc(scope: Scope) -> bool:
    """Whether a request is a gRPC call."""
    return any(name == b"content-type" and value.startswith(_CONTENT_TYPE) for name, value in scope["headers"])


def peer(scope: Scope) -> str:
    """The client's address without its port; empty on a unix socket."""
    client = scope.get("client")
    return client[0] if client else ""
