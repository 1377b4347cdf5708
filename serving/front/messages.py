"""The gRPC messages in one request's body, read as they arrive."""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import NamedTuple

from .asgi import Receive
from .body import PATIENCE_S, SLOWEST, next_part
from .status import ClientGone, Code, Refusal

# The longest search: 32 texts of 64 KiB, and what names them. What is larger is never put together in memory.
SMALL_BYTES = (2 << 20) + (64 << 10)
_PREFIX = struct.Struct(">BI")
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}


class Prefix(NamedTuple):
    """What announces a message: whether it is compressed, and how many bytes follow."""

    compressed: bool
    size: int


class Messages:
    """Reads a request's body. Every message is begun, then read ``whole`` or in parts with ``some``.

    Args:
        encoding: the request's ``grpc-encoding``, empty where it has none.

    Raises:
        ClientGone: from every method, where the client leaves.
        Refusal: from every method, where the body is not as gRPC says.
    """

    def __init__(self, receive: Receive, encoding: bytes = b"") -> None:
        self._receive, self._encoding = receive, encoding
        self._buffer = b""
        self._more = True
        self._until = float("inf")
        self._left = 0

    @property
    def left(self) -> int:
        """Bytes of the present message that were not read: no other can be begun before."""
        return self._left

    async def begin(
        self, patience_s: float | None = None, given_up: asyncio.Future[None] | None = None
    ) -> Prefix | None:
        """The next message's prefix; None if there is none.

        Args:
            patience_s: how long its first byte may take.
            given_up: done once nobody is answered any more, as if the client had left.
        """
        if given_up is not None and given_up.done():
            raise ClientGone
        self._until = float("inf")
        while len(self._buffer) < _PREFIX.size and self._more:
            await self._fill(PATIENCE_S if self._buffer else patience_s, given_up)
        return self._begun()

    def _begun(self) -> Prefix | None:
        if not self._buffer:
            return None
        if len(self._buffer) < _PREFIX.size:
            raise Refusal(Code.INVALID_ARGUMENT, "the request ends within a message's prefix")
        flag, size = _PREFIX.unpack_from(self._buffer)
        if flag > 1:
            raise Refusal(Code.INVALID_ARGUMENT, f"a message begins with {flag}, which gRPC does not know")
        self._buffer = self._buffer[_PREFIX.size :]
        self._left = size
        self.resume(size)
        return Prefix(bool(flag), size)

    def resume(self, size: int) -> None:
        """The reader was kept waiting, and now reads a message of ``size`` bytes: its time begins anew."""
        self._until = asyncio.get_running_loop().time() + PATIENCE_S + size / SLOWEST

    async def whole(self, prefix: Prefix, most: int = SMALL_BYTES) -> bytes:
        """A message of at most ``most`` bytes, inflated where it is compressed."""
        if prefix.size > most:
            raise Refusal(Code.RESOURCE_EXHAUSTED, f"the message has {prefix.size} bytes, the limit is {most}")
        message = await self.some(prefix.size) if prefix.size else b""
        if len(message) < prefix.size:
            parts = bytearray(message)
            while missing := prefix.size - len(parts):
                parts += await self.some(missing)
            message = bytes(parts)
        return self._inflated(message, most) if prefix.compressed else message

    async def some(self, most: int) -> bytes:
        """What has arrived of the present message, at least one byte and at most ``most``."""
        while not self._buffer:
            if not self._more:
                raise Refusal(Code.INVALID_ARGUMENT, "the request ends within a message")
            await self._fill(PATIENCE_S)
        part, self._buffer = self._buffer[:most], self._buffer[most:]
        self._left -= len(part)
        return part

    async def end(self) -> None:
        """Refuse a further message: a unary call has one."""
        self._until = asyncio.get_running_loop().time() + PATIENCE_S
        while len(self._buffer) < _PREFIX.size and self._more:
            await self._fill(PATIENCE_S)
        if self._begun() is not None:
            raise Refusal(Code.INVALID_ARGUMENT, "the call takes one message, and more were sent")

    async def _fill(self, patience_s: float | None, given_up: asyncio.Future[None] | None = None) -> None:
        if patience_s is not None:
            patience_s = max(0.0, min(patience_s, self._until - asyncio.get_running_loop().time()))
        part, self._more = await next_part(self._receive, patience_s, given_up)
        self._buffer = self._buffer + part if self._buffer else part

    def _inflated(self, message: bytes, most: int) -> bytes:
        if self._encoding not in _WINDOW_BITS:
            raise Refusal(Code.UNIMPLEMENTED, "messages may be compressed with gzip or deflate")
        inflater = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            inflated = inflater.decompress(message, most)
        except zlib.error as error:
            raise Refusal(Code.INVALID_ARGUMENT, f"a message can't be inflated: {error}") from error
        if not inflater.eof:
            raise Refusal(Code.RESOURCE_EXHAUSTED, f"a compressed message may hold {most} bytes: send it uncompressed")
        return inflated
