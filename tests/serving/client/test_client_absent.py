"""What every command of the client says where no server is, or another one, and that it says so at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import ServerUnavailable
from framesift.serving.client.blocking import Blocking
from framesift.serving.client.sync import Client

from .asking import COMMANDS, OTHERS, asking, line

# Longer than a name may be, so no name server is asked, which might be silent.
NOBODY = ".".join(["nobody" * 10] * 5)


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a server of something else."""

    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a server that was never there fails."""

    async def sleep(self: Blocking, seconds: float) -> None:
        raise AssertionError(f"waited for {seconds} s")

    monkeypatch.setattr(Blocking, "sleep", sleep)


def test_every_command_that_asks_a_server_is_here() -> None:
    assert set(asking(main)) == COMMANDS.keys() | OTHERS


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_and_others_are_told_at_once(command: str, tmp_path: Path, web: str, impatient: None) -> None:
    asked = line(command, tmp_path)
    for address, said in (
        ("127.0.0.1:1", "is `framesift serve` running?"),
        (f"{NOBODY}:8001", "is `framesift serve` running?"),
        (web, "framesift serve"),
    ):
        result = CliRunner().invoke(main, [*asked, "--server", address])
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == 1
        assert (address in result.stderr, said in result.stderr) == (True, True), result.stderr
        assert "Traceback" not in result.output


def test_a_first_call_is_not_tried_again_where_nobody_is(impatient: None) -> None:
    with Client("127.0.0.1:1") as client:
        for call in (client.count, lambda: client.search("x"), lambda: client.index(b"film")):
            with pytest.raises(ServerUnavailable, match="127.0.0.1:1"):
                call()
