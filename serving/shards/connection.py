"""Messages over TCP: a secret once, then what is asked and what is answered, one after the other.

Ray's calls and gRPC were tried: a fan-out to three actors takes their processors twenty times as long.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import time

from .messages import KINDS

# In front of a request its kind and size, in front of an answer its size.
ASKED, ANSWERED = struct.Struct("<BQ"), struct.Struct("<Q")
SECRET_BYTES = 64
# Larger than any message: the largest are records to be indexed, and the facts of a thousand hits.
MOST_BYTES = 2 << 30
_CONNECT_S = 2.0
# What is read at once, mostly all of a message.
_PIECE = 64 << 10


class Connection:
    """One to a shard, for one caller.

    Args:
        address: host and port.
        secret: what callers know.
        until: by when it has to stand, as of ``time.monotonic``.

    Raises:
        OSError: from every method, where the shard is not there or not in time; the connection is no good then.
    """

    def __init__(self, address: str, secret: str, until: float) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), min(_CONNECT_S, left(until)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(secret.encode())
        self._socket.setblocking(False)
        self._part = b""
        self._whole: bytearray | None = None
        self._there = 0

    def send(self, kind: str, raw: bytes, until: float) -> None:
        """Ask."""
        # In one piece, which wakes the other side once.
        rest = memoryview(ASKED.pack(KINDS.index(kind), len(raw)) + raw)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                room = select.poll()
                room.register(self._socket, select.POLLOUT)
                room.poll(math.ceil(1e3 * left(until)))

    def arrived(self) -> memoryview | None:
        """The answer to what was asked last, if all of it is there; to be called when there is something to read.

        Raises:
            BlockingIOError: there is nothing yet.
        """
        if self._whole is None:
            self._part += some(self._socket, _PIECE)
            if len(self._part) < ANSWERED.size:
                return None
            whole = _size(ANSWERED.unpack_from(self._part)[0], ANSWERED)
            if len(self._part) == whole:
                answer, self._part = memoryview(self._part)[ANSWERED.size :], b""
                return answer
            self._whole, self._there, self._part = _begun(self._part, whole), len(self._part), b""
        view = memoryview(self._whole)
        try:
            while self._there < len(view):
                self._there += some_into(self._socket, view[self._there :])
        except BlockingIOError:
            return None
        self._whole = None
        return view[ANSWERED.size :].toreadonly()

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go: an answer that comes later is nobody's."""
        self._socket.close()


def asked(from_: socket.socket) -> tuple[int, memoryview]:
    """The next message of a caller, its kind and its bytes; nothing comes behind it, as it is answered first.

    Raises:
        OSError: the caller is gone, or sends what is none.
    """
    part = some(from_, _PIECE)
    while len(part) < ASKED.size:
        part += some(from_, _PIECE)
    kind, size = ASKED.unpack_from(part)
    whole = _size(size, ASKED)
    if len(part) == whole:
        return kind, memoryview(part)[ASKED.size :]
    view = memoryview(_begun(part, whole))
    there = len(part)
    while there < whole:
        there += some_into(from_, view[there:])
    return kind, view[ASKED.size :].toreadonly()


def exactly(from_: socket.socket, size: int, until: float) -> bytes:
    """So many bytes, by a time of ``time.monotonic``.

    Raises:
        OSError: they don't come.
    """
    found = b""
    while len(found) < size:
        from_.settimeout(left(until))
        found += some(from_, size - len(found))
    return found


def some(from_: socket.socket, most: int) -> bytes:
    """What there is to read, up to so many bytes.

    Raises:
        OSError: the other side is gone.
    """
    if not (found := from_.recv(most)):
        raise ConnectionError("the other side is gone")
    return found


def some_into(from_: socket.socket, place: memoryview) -> int:
    """As ``some``, put into its place; how many bytes."""
    if not (count := from_.recv_into(place)):
        raise ConnectionError("the other side is gone")
    return count


def left(until: float) -> float:
    """Seconds to a time of ``time.monotonic``.

    Raises:
        TimeoutError: none.
    """
    rest = until - time.monotonic()
    if rest <= 0:
        raise TimeoutError("the time is up")
    return rest


def _size(told: int, head: struct.Struct) -> int:
    """The bytes of a message with its head."""
    if told > MOST_BYTES:
        raise ConnectionError(f"the other side sends {told} bytes, no message has as many")
    return head.size + told


def _begun(part: bytes, whole: int) -> bytearray:
    """Room for a message, with what has come of it."""
    if len(part) > whole:
        raise ConnectionError("the other side sends more than a message")
    room = bytearray(whole)
    room[: len(part)] = part
    return room
