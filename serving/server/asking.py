"""Asking a process whether it answers, without waiting for it. Needs the standard library alone."""

from __future__ import annotations

import select
import socket
import time

_READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_OK = b" 200 "
_PATIENCE_S = 2.0


class Asking:
    """Asks again and again: ``answered`` never blocks, so that whoever asks can look after others meanwhile.

    Args:
        address: the path of a unix socket, whose server has to say that it is ready; or host:port, where it is enough
            that somebody listens.
    """

    def __init__(self, address: str) -> None:
        host, colon, port = address.rpartition(":")
        self._address: str | tuple[str, int] = (host, int(port)) if colon else address
        self._socket: socket.socket | None = None
        self._since = 0.0

    def answered(self) -> bool:
        """Whether the answer has come by now; asks where nobody was asked, and again where none comes for long."""
        try:
            if self._socket is None:
                self._ask()
            found = self._look()
        except OSError:
            found = False
        if found is not None or time.monotonic() - self._since > _PATIENCE_S:
            self.close()
        return bool(found)

    def close(self) -> None:
        """Ask no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self) -> None:
        unix = isinstance(self._address, str)
        self._since = time.monotonic()
        self._socket = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(self._address)
        except BlockingIOError:
            # A unix socket has no place among those that wait; over TCP the connection is being made.
            if unix:
                raise
        if unix:
            self._socket.sendall(_READY)

    def _look(self) -> bool | None:
        """None where it is not known yet."""
        assert self._socket is not None
        if isinstance(self._address, str):
            try:
                return _OK in self._socket.recv(64)
            except BlockingIOError:
                return None
        if not select.select([], [self._socket], [], 0)[1]:
            return None
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
