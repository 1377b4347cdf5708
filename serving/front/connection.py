"""HTTP/1.1 to Triton server on a unix socket: one request at a time on a connection, connections kept.

Python's own client blocks, and libraries cost more than the request; what Triton server needs of HTTP is small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

_END_OF_HEAD = b"\r\n\r\n"
_LARGEST_HEAD = 64 << 10
# Answers of the same sizes have the same head.
_CACHED = 1 << 10
# Connections at once: more requests than the door lets in wait for Triton server, and its descriptors are few.
_MOST = 256


class Unreachable(Exception):
    """Nothing listens on the socket, or it closed the connection before it had answered."""


@dataclass(frozen=True)
class Reply:
    """An answer; ``head_bytes`` of an inference's ``body`` are JSON, and tensors follow."""

    status: int
    body: bytes
    head_bytes: int


class _Connection(asyncio.Protocol):
    """One connection; ``reply`` is awaited while a request is under way."""

    def __init__(self) -> None:
        self.open = True
        self.transport: asyncio.Transport | None = None
        self.reply: asyncio.Future[Reply] | None = None
        self._buffer = bytearray()
        self._head: tuple[int, int, int] | None = None
        self._start = self._end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none of asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(Unreachable("Triton server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        if len(self._buffer) < self._end:
            return
        status, _, head_bytes = self._head
        body = bytes(memoryview(self._buffer)[self._start : self._end])
        self._buffer, self._head = bytearray(), None
        if self.reply is not None and not self.reply.done():
            self.reply.set_result(Reply(status, body, head_bytes))

    def _read_head(self) -> bool:
        end = self._buffer.find(_END_OF_HEAD)
        if end < 0:
            if len(self._buffer) > _LARGEST_HEAD:
                self.close()
            return False
        self._head = _sizes(bytes(self._buffer[:end]))
        self._start = end + len(_END_OF_HEAD)
        self._end = self._start + self._head[1]
        return True

    def close(self) -> None:
        self.open = False
        if self.transport is not None:
            self.transport.close()


@lru_cache(_CACHED)
def _sizes(head: bytes) -> tuple[int, int, int]:
    """What an answer's head tells: its status, the bytes of its body, and how many of them are JSON."""
    first, *lines = head.lower().split(b"\r\n")
    headers = dict(line.split(b":", 1) for line in lines)
    length = int(headers.get(b"content-length", b"0"))
    return int(first.split(b" ", 2)[1]), length, int(headers.get(b"inference-header-content-length", length))


class Connections:
    """The connections to one unix socket, made when needed.

    Args:
        path: the socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(_MOST)

    async def request(
        self,
        method: str,
        path: str,
        head: bytes = b"",
        tensors: Sequence[bytes] = (),
        *,
        inference: bool = False,
        headers: str = "",
    ) -> Reply:
        """Send a request and wait for its answer.

        Args:
            head: the JSON of the body; ``tensors`` follow it.
            inference: say where the JSON ends.
            headers: lines of further headers.

        Raises:
            Unreachable: there is no answer.
        """
        async with self._room:
            return await self._exchange(method, path, head, tensors, inference=inference, headers=headers)

    async def _exchange(
        self, method: str, path: str, head: bytes, tensors: Sequence[bytes], *, inference: bool, headers: str
    ) -> Reply:
        connection = await self._connection()
        size = len(head) + sum(map(len, tensors))
        marked = f"Inference-Header-Content-Length: {len(head)}\r\n" if inference else ""
        start = f"{method} {path} HTTP/1.1\r\nHost: triton\r\n{headers}{marked}Content-Length: {size}\r\n\r\n"
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        connection.reply = reply
        assert connection.transport is not None
        connection.transport.write(b"".join((start.encode("ascii"), head, *tensors)))
        try:
            answer = await reply
        except BaseException:
            # Whoever stops waiting leaves an answer on its way that would be taken for the next request's.
            connection.close()
            raise
        connection.reply = None
        if connection.open:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        try:
            _, made = await asyncio.get_running_loop().create_unix_connection(_Connection, self._path)
        except OSError as error:
            raise Unreachable(f"nothing listens on {self._path}: {error.strerror}") from error
        return made
