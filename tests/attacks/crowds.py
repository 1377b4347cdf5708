"""Connections from many addresses, more than the door has room for, and a caller who wants in beside them."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from pathlib import Path
from tempfile import mkdtemp
from unittest import mock

from framesift.serving.front import overload
from framesift.serving.front.supervision import Supervision
from framesift.serving.server.door import NAME

from ..serving.front.alone import standing
from .table import Row
from .target import Target

NOTHING, A_REQUEST = b"", b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Half of a handshake of HTTP/2: what a client says before its first request.
A_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
_KINDS = {"that say nothing": NOTHING, "that asked once": A_REQUEST, "of HTTP/2 without a request": A_PREFACE}
# A door with less room than one has, so that few processes are many; and how often it is filled.
_ROOM, _TIMES, _ADDRESSES = 1024, 4, 250
_SOON_S = 2.0
_HELD = 4000
# Connections at full length of the other floods.
_FULL = 2000


class Flood:
    """Opens connections from many addresses of this machine without end, and says something on each, or nothing."""

    def __init__(self, address: str, addresses: int, said: bytes) -> None:
        host, _, port = address.rpartition(":")
        self._to, self._addresses, self._said = (host, int(port)), addresses, said
        self.opened = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def wait(self, count: int) -> None:
        """Until so many were opened."""
        while self.opened < count and self._thread.is_alive():
            time.sleep(0.02)

    def _run(self) -> None:
        held: list[socket.socket] = []
        while not self._stopped.is_set():
            number = self.opened % self._addresses
            source = f"127.1.{number // 250}.{number % 250 + 1}", 0
            try:
                held.append(socket.create_connection(self._to, timeout=5, source_address=source))
                held[-1].sendall(self._said)
            except OSError:
                # Refused, or ended already.
                time.sleep(0.001)
            self.opened += 1
            # The door has ended the first of them long ago.
            if len(held) > _HELD:
                for each in held[: _HELD // 4]:
                    each.close()
                del held[: _HELD // 4]
        for each in held:
            each.close()


def seconds_until_live(address: str, patience_s: float = 20.0) -> float:
    """How long a caller who comes now, and again where it has to, waits for an answer."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < patience_s:
        connection = http.client.HTTPConnection(address, timeout=2)
        try:
            connection.request("GET", "/v2/health/live")
            if connection.getresponse().status == 200:
                return time.monotonic() - began
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    return waited


def attack(target: Target, count: int, patience: float) -> list[Row]:
    """Fill a door several times over from many addresses, with nothing behind it."""
    soon = _SOON_S * patience
    stays = Row("crowds: a connection that has its address to itself stays while others are ended")
    alive = Row("crowds: the door lives")
    rows = []
    for name, said in _KINDS.items():
        row = Row(f"crowds: beside connections {name}, from {_ADDRESSES} addresses, a caller gets in within {soon:g} s")
        rows.append(row)
        folder = Path(mkdtemp(dir=target.folder))
        with (
            mock.patch.object(overload, "MAX_CONNECTIONS", _ROOM),
            standing(target.bundle.root, folder / "run") as (address, run),
        ):
            pid = Supervision(run.root).pid(NAME)
            kept = http.client.HTTPConnection(address, timeout=60, source_address=("127.0.0.2", 0))
            kept.request("GET", "/v2/health/live")
            kept.getresponse().read()
            with Flood(address, _ADDRESSES, said) as flood:
                flood.wait(max(_ROOM, _TIMES * _ROOM * count // _FULL))
                for _ in range(max(5, 50 * count // _FULL)):
                    waited = seconds_until_live(address)
                    row.see(waited < soon, f"one waited {waited:.1f} s")
                    row.worst = max(row.worst, f"{waited:.3f} s")
            try:
                kept.request("GET", "/v2/health/live")
                stays.see(kept.getresponse().status == 200, "it was refused")
            except (OSError, http.client.HTTPException) as error:
                stays.see(False, f"{type(error).__name__} beside connections {name}")
            kept.close()
            alive.see(Supervision(run.root).pid(NAME) == pid, f"it was started again beside connections {name}")
    return [*rows, stays, alive]
