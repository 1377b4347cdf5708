"""Answers that nobody reads: what lies in Envoy of them is bounded, and ends."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.serving.front import overload
from framesift.serving.front.supervision import Supervision
from framesift.serving.server.door import NAME

from ...waiting import LIMIT_S, until
from .alone import standing

STREAMS = 256
HEADERS, SETTINGS = 1, 4
END_STREAM_AND_HEADERS = 5
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def greedy(address: str) -> socket.socket:
    """A connection that asks for 20 kB 256 times over HTTP/2, and has no room for any byte of an answer."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    connection.sendall(frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)))
    # GET and http from HPACK's static table; path and authority as they are.
    asked = b"\x82\x86\x04\x10/v1/openapi.json\x01\x09127.0.0.1"
    numbers = range(1, 2 * STREAMS, 2)
    connection.sendall(b"".join(frame(HEADERS, END_STREAM_AND_HEADERS, number, asked) for number in numbers))
    return connection


def resident(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def live(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/v2/health/live")
    status = connection.getresponse().status
    connection.close()
    assert status in (200, 503)
    return status == 200


@pytest.mark.slow
def test_answers_that_nobody_reads_take_a_bounded_part_of_memory(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heap = 96 << 20
    monkeypatch.setattr(overload, "HEAP_BYTES", heap)
    with standing(bundle.root, tmp_path) as (address, run), ExitStack() as held:
        door = Supervision(run.root).pid(NAME)
        before = resident(door)
        # Each would take 5 MB. Envoy looks four times a second how much it has.
        for _ in range(50):
            held.enter_context(greedy(address))
            time.sleep(0.25)
        # Whoever comes while there is no room is refused, and there is room again although nobody has left.
        until(lambda: live(address), pause_s=0.2)
        assert resident(door) - before < heap + (48 << 20)
        assert Supervision(run.root).pid(NAME) == door


@pytest.mark.slow
def test_whoever_leaves_the_most_unread_is_ended_and_nobody_else_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with standing(bundle.root, tmp_path) as (address, run), ExitStack() as held:
        door = Supervision(run.root).pid(NAME)
        before = resident(door)
        honest = http.client.HTTPConnection(address, timeout=60)
        largest = asked = 0
        deadline = time.monotonic() + LIMIT_S
        while "because they left so much unread" not in run.log.read_text():
            assert time.monotonic() < deadline
            held.enter_context(greedy(address))
            # On one connection, which is not ended while those are.
            honest.request("GET", "/v1/openapi.json")
            answer = honest.getresponse()
            assert (answer.status, len(answer.read()) > 10_000) == (200, True)
            largest, asked = max(largest, resident(door)), asked + 1
            time.sleep(0.05)
        honest.request("GET", "/metrics")
        told = honest.getresponse().read().decode()
        honest.close()
        assert 'framesift_connections_ended_total{cause="crowd"} 0\n' in told
        # So many fit into what the door may grow by before it looks.
        assert asked > 12
        assert largest - before < 512 << 20
        assert Supervision(run.root).pid(NAME) == door
