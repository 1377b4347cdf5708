"""The connections that this process has with clients, whatever server reads and writes on them: Linux tells."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

Peer = tuple[str, int]

_OWN = "/proc/self/fd"
_PAGE = os.sysconf("SC_PAGE_SIZE")
# What the kernel tells of a connection, linux/tcp.h: how many milliseconds ago data came last; how many bytes the other
# side has taken, and how many came from it.
_INFO_BYTES = 136
_LAST_CAME, _TAKEN_CAME = struct.Struct("@52xI"), struct.Struct("@120xQQ")
# After so many, others that want to run may: reading ten thousand takes a tenth of a second.
_AT_ONCE = 100


class Connection(NamedTuple):
    """A connection with a client.

    Attributes:
        heard: a byte came ever.
        silent_ms: how long none has come.
        taken: bytes that the client has taken.
    """

    descriptor: int
    peer: Peer
    heard: bool
    silent_ms: int
    taken: int = 0


def descriptors() -> int:
    """How many this process has open."""
    # Since Linux 6.2; before, they have to be counted.
    return os.stat(_OWN).st_size or len(os.listdir(_OWN))


def resident() -> int:
    """Bytes of memory of this process."""
    with open("/proc/self/statm", "rb") as stream:
        return int(stream.read().split()[1]) * _PAGE


def connections(port: int) -> Iterator[Connection]:
    """Those that came to a port of this machine. Let a thread look."""
    for number, name in enumerate(os.listdir(_OWN)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            time.sleep(0)
        try:
            held = _held(int(name))
        except OSError:
            continue
        try:
            if (peer := _peer(held, port)) is not None:
                told = held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
                taken, came = _TAKEN_CAME.unpack_from(told)
                yield Connection(int(name), peer, came > 0, _LAST_CAME.unpack_from(told)[0], taken)
        except OSError:
            pass
        finally:
            held.close()


def end(connection: Connection, port: int) -> bool:
    """End a connection, if it is still the one that was found: for the server its client has left."""
    try:
        held = _held(connection.descriptor)
    except OSError:
        return False
    try:
        found = _peer(held, port) == connection.peer
        if found:
            held.shutdown(socket.SHUT_RDWR)
        return found
    except OSError:
        return False
    finally:
        held.close()


def _held(descriptor: int) -> socket.socket:
    # A descriptor of our own: the server may close its own at any time, and another connection have its number.
    own = os.dup(descriptor)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, own)
    except OSError:
        os.close(own)
        raise


def _peer(held: socket.socket, port: int) -> Peer | None:
    """Who is at the other end of a connection that came to a port; None for anything else."""
    own = held.getsockname()
    if not isinstance(own, tuple) or own[1] != port:
        return None
    address, theirs = held.getpeername()[:2]
    return address, theirs
