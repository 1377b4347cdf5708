"""Messages over TCP: a secret once, then what is asked and what is answered, one after the other.

Ray's calls and gRPC were tried: a fan-out to three actors takes their processors twenty times as long.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress

from .messages import KINDS

# In front of a request its kind and size, in front of an answer its size.
ASKED, ANSWERED = struct.Struct("<BQ"), struct.Struct("<Q")
SECRET_BYTES = 64
_CONNECT_S = 2.0
_PIECE = 1 << 20


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
        self._socket = socket.create_connection((host, int(port)), min(_CONNECT_S, _left(until)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(secret.encode())
        self._part = bytearray()

    def send(self, kind: str, raw: bytes, until: float) -> None:
        """Ask."""
        self._socket.settimeout(_left(until))
        # In one piece, which wakes the other side once.
        self._socket.sendall(ASKED.pack(KINDS.index(kind), len(raw)) + raw)

    def arrived(self) -> bytes | None:
        """The answer to what was asked last, if all of it is there; to be called when there is something to read."""
        self._socket.settimeout(0)
        if len(self._part) < ANSWERED.size:
            self._part += _some(self._socket, ANSWERED.size - len(self._part))
        if len(self._part) >= ANSWERED.size:
            (size,) = ANSWERED.unpack_from(self._part)
            whole = ANSWERED.size + size
            with suppress(BlockingIOError):
                while len(self._part) < whole:
                    self._part += _some(self._socket, min(whole - len(self._part), _PIECE))
            if len(self._part) == whole:
                answer, self._part = bytes(memoryview(self._part)[ANSWERED.size :]), bytearray()
                return answer
        return None

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go: an answer that comes later is nobody's."""
        self._socket.close()


def exactly(from_: socket.socket, size: int) -> bytes:
    """So many bytes.

    Raises:
        OSError: they don't come.
    """
    found = bytearray(size)
    view = memoryview(found)
    while view:
        if not (count := from_.recv_into(view)):
            raise ConnectionError("the other side is gone")
        view = view[count:]
    return bytes(found)


def _some(from_: socket.socket, most: int) -> bytes:
    if not (found := from_.recv(most)):
        raise ConnectionError("the other side is gone")
    return found


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is up")
    return left
