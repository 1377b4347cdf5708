"""Uploads at the least allowed pace, over real connections: whoever else has a token or an address gets in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from framesift.export.bundle.limits import MAX_VIDEO_BYTES
from framesift.export.bundle.store import Bundle
from framesift.serving.front.body import SLOWEST
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from ...waiting import until
from .alone import standing
from .asked_over_http import ask
from .requests_of import request

INFER = "/inference.GRPCInferenceService/ModelInfer"
VIDEO = bytes(3 << 20)
# What is told of an upload that has arrived: behind this door is no server.
ARRIVED = "is being started again"
_PART_S = 0.25
# Each caller holds more uploads than it may have slots.
_EACH = 6


@contextmanager
def slow_uploads(address: str, headers: str, size: int, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Uploads of one caller that go on, a little faster than they must."""
    host, _, port = address.rpartition(":")
    with ExitStack() as held:
        made = []
        for number in range(_EACH):
            made.append(held.enter_context(socket.create_connection((host, int(port)), 5, source_address=(source, 0))))
            head = f"POST /v1/videos?id=slow{number} HTTP/1.1\r\nHost: {address}\r\n{headers}"
            made[-1].sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        stopped = threading.Event()
        thread = threading.Thread(target=_send, args=(made, stopped))
        thread.start()
        try:
            yield made
        finally:
            stopped.set()
            thread.join()


def _send(connections: list[socket.socket], stopped: threading.Event) -> None:
    part = bytes(int(1.5 * SLOWEST * _PART_S))
    for connection in connections:
        # Of those that wait the door reads nothing.
        connection.setblocking(False)
    while not stopped.wait(_PART_S):
        for connection in list(connections):
            try:
                connection.send(part)
            except BlockingIOError:
                pass
            except OSError:
                connections.remove(connection)


def over_http(address: str, token: str | None) -> str:
    """How an upload ends."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return str(ask(address, "/v1/videos?id=mine", VIDEO, Content_Type="video/mp4", **headers).json["detail"])


def over_grpc(address: str, token: str | None) -> str:
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    message = request("encode_video", {"video": np.frombuffer(VIDEO, np.uint8)[None]}).SerializeToString()
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(INFER)(message, timeout=60, metadata=metadata)
    return str(refused.value.details())


def refused(connection: socket.socket) -> bool:
    """Whether it has been answered on a connection that the upload came slowly; what was answered stays there."""
    try:
        answer = connection.recv(1 << 16, socket.MSG_PEEK).decode()
    except OSError:
        return False
    return "503" in answer and "came slowly" in answer


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    return {name: new_token(tmp_path / "tokens", name, ["index"]) for name in ("one", "two", "three")}


@pytest.mark.parametrize("by", ["tokens", "addresses"])
def test_two_callers_that_send_as_slowly_as_they_may_keep_no_third_out(
    by: str, bundle: Bundle, tokens: dict[str, str], tmp_path: Path
) -> None:
    named = by == "tokens"
    reach = Reach(tokens=tmp_path / "tokens") if named else Reach()
    with standing(bundle.root, tmp_path / "run", reach) as (address, _), ExitStack() as held:
        for number, name in enumerate(("one", "two"), 2):
            headers = f"Authorization: Bearer {tokens[name]}\r\n" if named else ""
            source = "127.0.0.1" if named else f"127.0.0.{number}"
            held.enter_context(slow_uploads(address, headers, 40 << 20, source))
        token = tokens["three"] if named else None
        for ended in (over_http(address, token), over_grpc(address, token), over_http(address, token)):
            assert ARRIVED in ended, ended


@pytest.mark.slow
def test_uploads_that_fill_the_memory_give_way_to_a_caller_who_has_none(
    bundle: Bundle, tokens: dict[str, str], tmp_path: Path
) -> None:
    with (
        standing(bundle.root, tmp_path / "run", Reach(tokens=tmp_path / "tokens")) as (address, _),
        ExitStack() as held,
    ):
        slow = [
            held.enter_context(
                slow_uploads(address, f"Authorization: Bearer {tokens[name]}\r\n", MAX_VIDEO_BYTES - (1 << 19))
            )
            for name in ("one", "two")
        ]
        for ask_ in (over_http, over_grpc):
            ended = ask_(address, tokens["three"])
            assert ARRIVED in ended, ended
        # Some were refused for it, and others go on.
        assert until(lambda: sum(refused(connection) for uploads in slow for connection in uploads)) < _EACH
