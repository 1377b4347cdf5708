"""Python's HTTP client on a unix socket. Needs the standard library alone."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

# What the kernel's address of a unix socket holds.
LONGEST_PATH = 107


class UnixConnection(http.client.HTTPConnection):
    """A connection to the server that listens on the socket ``path``."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = str(path)
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._path)
