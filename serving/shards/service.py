"""A shard on a port of its machine, for those who know its secret."""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import threading
import time

from ...export.bundle.errors import FramesiftError, ServerError
from .connection import ANSWERED, ASKED, SECRET_BYTES, exactly
from .messages import KINDS, Message, pack, unpack
from .shard import Shard

# Each of a server's three models has one; more are of callers that gave up waiting and came again.
_CONNECTIONS = 64
_HELLO_S = 5.0
_PAUSE_S = 0.1
_log = logging.getLogger(__name__)


class Service:
    """Listens until ``close``, with a thread for every connection.

    Args:
        shard: what answers.
        host: the address to listen on; ``port`` is a free one.
        secret: what callers send first.
    """

    def __init__(self, shard: Shard, host: str, secret: str) -> None:
        self.shard, self._secret = shard, secret.encode()
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server((host, 0), backlog=_CONNECTIONS)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="shard-service", daemon=True).start()

    def close(self) -> None:
        """Let go of the port, and of all callers."""
        self._closed = True
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                # Too many open files, or a caller that has left again: both pass, and nobody starts the shard anew.
                time.sleep(_PAUSE_S)
                continue
            if self._room.acquire(blocking=False):
                self._open.add(caller)
                threading.Thread(target=self._serve, args=[caller], name="shard-caller", daemon=True).start()
            else:
                caller.close()

    def _serve(self, caller: socket.socket) -> None:
        try:
            with caller, contextlib.suppress(OSError):
                caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                caller.settimeout(_HELLO_S)
                # It comes as one segment; who sends it byte by byte would hold a place for long.
                if not hmac.compare_digest(caller.recv(SECRET_BYTES), self._secret):
                    return
                caller.settimeout(None)
                while True:
                    kind, size = ASKED.unpack(exactly(caller, ASKED.size))
                    answer = self._answer(kind, exactly(caller, size), caller)
                    caller.sendall(ANSWERED.pack(len(answer)) + answer)
        finally:
            self._open.discard(caller)
            self._room.release()

    def _answer(self, kind: int, raw: bytes, caller: socket.socket) -> bytes:
        message = unpack(raw)
        try:
            return pack(self.shard.answer(KINDS[kind], message, lambda: _waits(caller)))
        except FramesiftError as error:
            return pack(Message([error] * len(message.parts)))
        except Exception as error:
            _log.exception("a message could not be answered")
            fault = ServerError(f"internal error in a shard: {type(error).__name__}: {str(error)[:200]}")
            return pack(Message([fault] * len(message.parts)))


def _waits(caller: socket.socket) -> bool:
    """Whether a caller still waits for its answer."""
    try:
        return caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
