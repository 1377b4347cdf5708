"""The port of a shard, whoever calls there, and the other end of a connection, whatever answers."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import ServerError
from framesift.serving.shards import connection as connections
from framesift.serving.shards import service as services
from framesift.serving.shards.connection import ANSWERED, ASKED, MOST_BYTES, SECRET_BYTES, Connection
from framesift.serving.shards.messages import KINDS, SEARCH, Message, pack, unpack
from framesift.serving.shards.service import Service

from .replicas import answer_of

SECRET = "s" * SECRET_BYTES
# For what would never come: other tests may have all processors.
PATIENCE_S = 60.0


class Echo:
    """A shard that answers what it is asked."""

    def answer(self, kind: str, message: Message, waits: Callable[[], bool]) -> Message:
        return Message(message.parts, {**message.head, "kind": kind, "waits": waits()})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    # Whoever knows the secret may be held up by other tests while saying it.
    monkeypatch.setattr(services, "_HELLO_S", PATIENCE_S)
    shard: Any = Echo()
    made = Service(shard, "127.0.0.1", SECRET)
    yield made
    made.close()


def _called(service: Service) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", service.port))
    caller.settimeout(PATIENCE_S)
    return caller


def _dribble(caller: socket.socket) -> None:
    for place in range(SECRET_BYTES):
        caller.sendall(SECRET.encode()[place : place + 1])
        time.sleep(0.1)


def _asked(values: np.ndarray) -> bytes:
    raw = pack(Message([{"values": values}], {"n": 1}))
    return ASKED.pack(KINDS.index(SEARCH), len(raw)) + raw


def _whole(caller: socket.socket) -> Message:
    raw = b""
    while len(raw) < ANSWERED.size or len(raw) < ANSWERED.size + ANSWERED.unpack_from(raw)[0]:
        found = caller.recv(1 << 20)
        assert found, "hung up"
        raw += found
    return unpack(raw[ANSWERED.size :])


def test_a_shard_without_room_for_a_caller_takes_the_next_ones() -> None:
    nobody: Any = None
    service = Service(nobody, "127.0.0.1", SECRET)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as caller:
        caller.settimeout(PATIENCE_S)
        free = os.dup(caller.fileno())
        os.close(free)
        try:
            # There is no descriptor for the caller that arrives.
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            caller.connect(("127.0.0.1", service.port))
            time.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        caller.sendall(b"x" * SECRET_BYTES)
        # A stranger is hung up on, so somebody is there.
        assert caller.recv(1) == b""
    service.close()


@pytest.mark.parametrize("size", [0, 100, 3_000_000])
def test_messages_come_whole_in_whatever_pieces_they_are_sent(service: Service, size: int) -> None:
    values = np.random.default_rng(0).standard_normal(size, np.float32)
    whole = SECRET.encode() + _asked(values)
    with _called(service) as caller:
        for start, end in ((0, 1), (1, 40), (40, SECRET_BYTES + 3), (SECRET_BYTES + 3, len(whole) - 1)):
            caller.sendall(whole[start:end])
            time.sleep(0.05)
        caller.sendall(whole[len(whole) - 1 :])
        answer = _whole(caller)
        assert answer.head == {"n": 1, "kind": SEARCH, "waits": True}
        assert answer.parts[0]["values"].tobytes() == values.tobytes()  # type: ignore[index]
        caller.sendall(_asked(values))
        assert _whole(caller).head["kind"] == SEARCH


def test_who_says_half_a_secret_or_a_wrong_one_is_hung_up_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in (b"x" * SECRET_BYTES, SECRET.encode()[:-1] + b"x"):
        with _called(service) as caller:
            caller.sendall(said)
            assert caller.recv(1) == b""
    monkeypatch.setattr(services, "_HELLO_S", 0.4)
    # One byte after another does not make it longer.
    with _called(service) as caller, pytest.raises(ConnectionError):
        _dribble(caller)


def test_strangers_keep_nobody_out_who_knows_the_secret(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    # No stranger leaves by itself before the caller gives up.
    monkeypatch.setattr(services, "_HELLO_S", 10 * PATIENCE_S)
    # A stranger's thread makes room once it runs, and the kernel lets a caller wait while many others come.
    monkeypatch.setattr(services, "_PAUSE_S", PATIENCE_S)
    monkeypatch.setattr(connections, "_CONNECT_S", PATIENCE_S)
    silent = [_called(service) for _ in range(100)]
    try:
        for _ in range(3):
            connection = Connection(f"127.0.0.1:{service.port}", SECRET, time.monotonic() + PATIENCE_S)
            connection.send(SEARCH, pack(Message([], {"n": 2})), time.monotonic() + PATIENCE_S)
            assert answer_of(connection).head["n"] == 2
            silent.append(connection)  # type: ignore[arg-type]
    finally:
        for caller in silent:
            caller.close()


@pytest.mark.parametrize(
    "sent",
    [
        ASKED.pack(0, MOST_BYTES + 1),
        ASKED.pack(0, 4) + b"abcdefgh",
        ASKED.pack(0, 4) + b"abcd",
        ASKED.pack(0, 8) + struct.pack("<I", 4) + b"null",
    ],
    ids=["too large", "more than it says", "no message", "no head"],
)
def test_what_is_no_message_ends_its_connection_and_no_other(service: Service, sent: bytes) -> None:
    with _called(service) as caller, _called(service) as other:
        caller.sendall(SECRET.encode())
        time.sleep(0.05)
        caller.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert caller.recv(1) == b""
        other.sendall(SECRET.encode() + _asked(np.zeros(3)))
        assert _whole(other).head["n"] == 1


def test_an_unknown_kind_is_an_error(service: Service) -> None:
    raw = pack(Message([{}, {}]))
    with _called(service) as caller:
        caller.sendall(SECRET.encode() + ASKED.pack(77, len(raw)) + raw)
        assert [type(part) for part in _whole(caller).parts] == [ServerError] * 2


def test_an_answer_in_pieces_is_read_whole_and_one_that_is_none_ends_the_connection() -> None:
    values = np.random.default_rng(1).standard_normal(200_000)
    raw = pack(Message([{"values": values}]))
    sent = [ANSWERED.pack(len(raw)) + raw] * 2 + [ANSWERED.pack(MOST_BYTES + 1)]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            caller, _ = listener.accept()
            with caller:
                # Secret and request may come apart: what is not read when this end closes would reset the other.
                caller.recv(SECRET_BYTES, socket.MSG_WAITALL)
                for whole in sent:
                    caller.recv(ASKED.size, socket.MSG_WAITALL)
                    for start, end in ((0, 3), (3, 8), (8, 70_000), (70_000, len(whole))):
                        caller.sendall(whole[start:end])
                        time.sleep(0.02)

        thread = threading.Thread(target=answer)
        thread.start()
        until = time.monotonic() + PATIENCE_S
        connection = Connection(f"127.0.0.1:{listener.getsockname()[1]}", SECRET, until)
        for _ in range(2):
            connection.send(SEARCH, b"", until)
            found = answer_of(connection).parts[0]["values"]  # type: ignore[index]
            assert found.tobytes() == values.tobytes()
            assert not found.flags.writeable
        connection.send(SEARCH, b"", until)
        with pytest.raises(ConnectionError, match="no message has as many"):
            answer_of(connection)
        connection.close()
        thread.join()
