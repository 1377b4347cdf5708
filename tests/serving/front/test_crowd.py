"""Connections when there are too many: whose are ended, and that others get in meanwhile."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.serving.front import crowd, envoy, overload
from framesift.serving.front.missed import least_missed, least_read
from framesift.serving.front.sockets import Connection, Peer, connections, descriptors, end

from ...attacks.crowds import A_REQUEST, NOTHING, Flood, seconds_until_live
from ...waiting import until, until_async
from .alone import standing

# For what would never come.
_PATIENCE_S = 60.0


def of(address: str, port: int, silent_ms: int, *, heard: bool = True) -> Connection:
    return Connection(port, (address, port), heard, silent_ms)


def test_who_has_the_most_and_says_the_least_is_missed_least() -> None:
    many = [of("6.6.6.6", port, 10 * port) for port in range(1, 11)]
    few = [of("1.1.1.1", 100, 50_000), of("1.1.1.1", 101, 10), of("2.2.2.2", 102, 60_000)]
    mute = of("3.3.3.3", 103, 5, heard=False)
    ended = least_missed([*few, *many, mute], 9, set())
    # Whoever said nothing goes first; then those beyond the one that everybody has, the longest silent first.
    assert ended[0] is mute
    assert [connection.peer[1] for connection in ended[1:]] == [10, 9, 8, 7, 6, 5, 4, 3]
    assert [connection.peer[1] for connection in least_missed([*few, *many], 10, set())][-2:] == [100, 2]
    assert least_missed(few, 0, set()) == least_missed(few, -5, set()) == []
    assert len(least_missed(few, 100, set())) == 3


def test_who_waits_for_an_answer_stays_and_counts() -> None:
    asked: set[Peer] = {("6.6.6.6", port) for port in range(1, 4)}
    mine, other = [of("6.6.6.6", port, 1000) for port in range(1, 6)], of("1.1.1.1", 9, 2000)
    assert [connection.peer for connection in least_missed([*mine, other], 3, asked)] == [
        ("6.6.6.6", 5),
        ("6.6.6.6", 4),
        ("1.1.1.1", 9),
    ]


def test_who_leaves_the_most_unread_goes_until_the_others_leave_little() -> None:
    found = [of("1.1.1.1", port, 0)._replace(taken=100) for port in range(1, 6)]
    sent = {("1.1.1.1", port): size for port, size in ((1, 50), (2, 100), (3, 140), (4, 190), (5, 1000))}
    # The first has read what is not counted; of one nothing is known.
    assert least_read(found, sent, 130) == [found[4]]
    assert least_read(found, sent, 129) == [found[3], found[4]]
    assert least_read(found, sent, 39) == [found[2], found[3], found[4]]
    assert least_read(found, sent, 2000) == least_read([], sent, 0) == []
    assert least_read([of("2.2.2.2", 1, 0)], sent, 0) == []


@contextmanager
def pairs(count: int) -> Iterator[tuple[int, list[socket.socket], list[socket.socket]]]:
    """A port that this process listens on, and both ends of some connections to it."""
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        theirs, ours = [], []
        for _ in range(count):
            theirs.append(held.enter_context(socket.create_connection(("127.0.0.1", port))))
            ours.append(held.enter_context(server.accept()[0]))
        yield port, theirs, ours


def test_descriptors_are_counted() -> None:
    def seven_more() -> bool:
        before = descriptors()
        with pairs(3):
            return descriptors() == before + 7

    # Threads that other tests have left may open and close some at any time.
    until(seven_more)


def test_the_kernel_tells_of_each_connection_and_it_is_ended_once() -> None:
    before = descriptors()
    with pairs(3) as (port, theirs, ours):
        theirs[1].sendall(b"x")
        assert ours[1].recv(1, socket.MSG_PEEK) == b"x"
        # Both ends are this process' own, but one of them came to the port.
        found = sorted(connections(port), key=lambda each: ours_of(ours, each))
        assert [(each.peer, each.heard) for each in found] == [(theirs[n].getsockname(), n == 1) for n in range(3)]
        assert all(0 <= each.silent_ms < 60_000 for each in found)
        assert end(found[0], port)
        assert theirs[0].recv(1) == b""
        # Another connection that has the number by now is not the one that was found.
        assert not end(found[1]._replace(descriptor=found[2].descriptor), port)
        ours[1].close()
        assert not end(found[1], port)
        theirs[2].sendall(b"y")
        assert ours[2].recv(1) == b"y"
    until(lambda: descriptors() <= before)


def ours_of(ours: list[socket.socket], found: Connection) -> int:
    return [each.fileno() for each in ours].index(found.descriptor)


@pytest.mark.parametrize("said", [NOTHING, A_REQUEST], ids=["silent", "one request each"])
def test_a_door_that_is_flooded_from_many_addresses_lets_others_in(
    said: bytes, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 512
    monkeypatch.setattr(overload, "MAX_CONNECTIONS", limit)
    # However long the flood takes, nobody is ended for silence.
    monkeypatch.setattr(envoy, "_SILENT_S", 3600)
    with standing(bundle.root, tmp_path) as (address, run):
        kept = http.client.HTTPConnection(address, timeout=_PATIENCE_S, source_address=("127.0.0.2", 0))
        kept.request("GET", "/v2/health/live")
        assert kept.getresponse().read() == b""
        with Flood(address, 100, said) as flood:
            flood.wait(3 * limit)
            # Each of them: who waits in vain waits for all of this.
            assert all(seconds_until_live(address, _PATIENCE_S) < _PATIENCE_S for _ in range(20))
        # Whoever was there before, with one connection, was not ended for those with many.
        kept.request("GET", "/v2/health/live")
        assert kept.getresponse().status == 200
        kept.close()
        until(lambda: "connections were ended for others" in run.log.read_text())


def test_a_connection_that_says_nothing_is_gone_within_seconds(bundle: Bundle, tmp_path: Path) -> None:
    with standing(bundle.root, tmp_path) as (address, _):
        host, _, port = address.rpartition(":")
        began = time.monotonic()
        with socket.create_connection((host, int(port)), timeout=_PATIENCE_S) as silent:
            assert silent.recv(1) == b""
        # Nor at once: a slow client needs a moment for its first words.
        assert time.monotonic() - began > 3


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True


def test_a_connection_is_ended_once_nothing_but_given_up_answers_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_LOOK_S", 0.01)

    async def look(port: int, theirs: list[socket.socket]) -> None:
        looks = crowd.Crowd(port, 1000)
        one, other, reading = (looks.begin({"client": each.getsockname()}) for each in theirs)
        looks.begin({"client": theirs[1].getsockname()})
        following = asyncio.ensure_future(looks.follow())
        looks.slow(one, 1)
        looks.slow(other, 1)
        looks.slow(reading, 1)
        looks.slow(reading, -1)
        for peer in (one, other, reading):
            looks.finish(peer)
        await until_async(lambda: not is_open(theirs[0]))
        # Another answer on it goes on: a proxy may bring many clients on one connection.
        assert is_open(theirs[1])
        looks.finish(other)
        await until_async(lambda: not is_open(theirs[1]))
        assert is_open(theirs[2])
        following.cancel()

    with pairs(3) as (port, theirs, _):
        asyncio.run(look(port, theirs))


def test_what_was_sent_on_connections_that_have_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_LOOK_S", 0.01)

    async def look(port: int, peer: Peer) -> None:
        looks = crowd.Crowd(port, 1000)
        following = asyncio.ensure_future(looks.follow())
        for forgotten_s, count in ((3600.0, crowd._REMEMBERED + 1), (0.05, 10)):
            monkeypatch.setattr(crowd, "_FORGOTTEN_S", forgotten_s)
            looks.sent(peer, 100)
            for number in range(count):
                looks.sent((f"10.0.{number >> 8}.{number & 255}", 1), 100)
            await until_async(lambda: len(looks._sent) == 1)
        # What is there is remembered.
        assert looks._sent[peer] == 200
        following.cancel()
        # Where nobody looks, nothing is.
        unseen = crowd.Crowd(port, 0)
        unseen.sent(peer, 100)
        assert not unseen._sent

    with pairs(1) as (port, theirs, _):
        asyncio.run(look(port, theirs[0].getsockname()))
