"""Asking whether a process answers, which waits for nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.serving.server import asking as module
from framesift.serving.server.addresses import choose
from framesift.serving.server.asking import Asking

from ...waiting import until


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        yield listener


@pytest.mark.parametrize(("status", "found"), [(b"200 OK", True), (b"400 Bad Request", False)])
def test_a_server_is_asked_once_and_its_answer_is_found_later(
    listening: socket.socket, status: bytes, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It says nothing, and who waited for it would wait in vain.
    monkeypatch.setattr(module, "_PATIENCE_S", 3600.0)
    asking = Asking(listening.getsockname())
    assert not asking.answered()
    assert not asking.answered()
    connection, _ = listening.accept()
    with connection:
        assert b"/v2/health/ready" in connection.recv(1000)
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    assert asking.answered() is found
    asking.close()


def test_a_server_that_stays_silent_is_asked_again(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.0)
    asking = Asking(listening.getsockname())
    assert not asking.answered()
    assert not asking.answered()
    for _ in range(2):
        listening.accept()[0].close()


def test_nobody_listens(tmp_path: Path) -> None:
    assert not Asking(str(tmp_path / "none")).answered()
    port = choose("127.0.0.1", None)
    asking = Asking(f"127.0.0.1:{port}")
    assert not any(asking.answered() for _ in range(3))
    with socket.create_server(("127.0.0.1", port)):
        until(asking.answered, pause_s=0)
