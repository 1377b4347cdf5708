"""A shard on a port of its machine, for those who know its secret."""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import threading
import time

from ...export.bundle.errors import FramesiftError, ServerError
from .connection import ANSWERED, SECRET_BYTES, asked, exactly
from .messages import KINDS, Message, pack, unpack
from .shard import Shard

# Each of a server's three models has one; more are of callers that gave up waiting and came again.
_CONNECTIONS = 64
_HELLO_S = 5.0
_PAUSE_S = 0.1
_log = logging.getLogger(__name__)


class Service:
    """Listens until ``close``, with a thread for every connection.

    Who has not said the secret in time is hung up on, and so is the one that has been at it longest where there is no
    room for somebody else: whoever knows it says it at once.

    Args:
        shard: what answers.
        host: the address to listen on; ``port`` is a free one.
        secret: what callers send first.
    """

    def __init__(self, shard: Shard, host: str, secret: str) -> None:
        self.shard, self._secret = shard, secret.encode()
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        self._open: set[socket.socket] = set()
        # In the order in which they came.
        self._strangers: dict[socket.socket, None] = {}
        self._changing = threading.Lock()
        self._closed = False
        self._listener = socket.create_server((host, 0), backlog=_CONNECTIONS)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="shard-service", daemon=True).start()

    def close(self) -> None:
        """Let go of the port, and of all callers."""
        self._closed = True
        with self._changing:
            for each in (self._listener, *self._open):
                _hang_up(each)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                # Too many open files, or a caller that has left again: both pass, and nobody starts the shard anew.
                time.sleep(_PAUSE_S)
                continue
            if not self._has_room():
                caller.close()
                continue
            with self._changing:
                self._open.add(caller)
                self._strangers[caller] = None
            threading.Thread(target=self._serve, args=[caller], name="shard-caller", daemon=True).start()

    def _has_room(self) -> bool:
        if self._room.acquire(blocking=False):
            return True
        with self._changing:
            if (oldest := next(iter(self._strangers), None)) is None:
                return False
            _hang_up(oldest)
        return self._room.acquire(timeout=_PAUSE_S)

    def _serve(self, caller: socket.socket) -> None:
        try:
            # A message that can't be read is of no framesift of this version.
            with caller, contextlib.suppress(OSError, ServerError):
                caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                said = exactly(caller, SECRET_BYTES, time.monotonic() + _HELLO_S)
                if not hmac.compare_digest(said, self._secret):
                    return
                with self._changing:
                    del self._strangers[caller]
                caller.settimeout(None)
                while True:
                    kind, raw = asked(caller)
                    answer = self._answer(kind, unpack(raw), caller)
                    caller.sendall(ANSWERED.pack(len(answer)) + answer)
        finally:
            with self._changing:
                self._open.discard(caller)
                self._strangers.pop(caller, None)
            self._room.release()

    def _answer(self, kind: int, message: Message, caller: socket.socket) -> bytes:
        try:
            return pack(self.shard.answer(KINDS[kind], message, lambda: _waits(caller)))
        except FramesiftError as error:
            return pack(Message([error] * len(message.parts)))
        except Exception as error:
            _log.exception("a message could not be answered")
            fault = ServerError(f"internal error in a shard: {type(error).__name__}: {str(error)[:200]}")
            return pack(Message([fault] * len(message.parts)))


def _hang_up(caller: socket.socket) -> None:
    with contextlib.suppress(OSError):
        caller.shutdown(socket.SHUT_RDWR)


def _waits(caller: socket.socket) -> bool:
    """Whether a caller still waits for its answer."""
    try:
        return caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
