"""Where the server listens."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from ...export.bundle.errors import ServerStartError

ANY = "0.0.0.0"
_LOOPBACK = "127.0.0.1"
# Below the ports of outgoing connections: the kernel could give one of those away while the models load.
_LOWEST, _HIGHEST = 10240, 32767
_TRIES = 200


def resolve(host: str) -> str:
    """The IPv4 address of ``host``.

    Raises:
        ServerStartError: it has none on this machine.
    """
    try:
        address = socket.gethostbyname(host)
        with socket.socket() as probe:
            probe.bind((address, 0))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServerStartError(
            f"can't listen on {host}: {reason}; give an IPv4 address of this machine, 127.0.0.1 for this machine "
            f"alone, or {ANY} for all of them"
        ) from error
    return address


def choose(host: str, port: int | None) -> int:
    """The port given, checked, or a free one.

    Args:
        host: an IPv4 address.

    Raises:
        ServerStartError: it is taken.
    """
    if port is None:
        return _free(host)
    if reason := _taken(host, port):
        raise ServerStartError(f"can't listen on {host}:{port}: {reason}; is another server running there?")
    return port


def client_host(host: str) -> str:
    """The address under which this machine reaches a server that listens on ``host``."""
    return _LOOPBACK if host == ANY else host


def reachable(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _free(host: str) -> int:
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(_LOWEST, max(min(_HIGHEST, lowest_outgoing), _LOWEST + _TRIES))
    for port in random.sample(candidates, _TRIES):
        if not _taken(host, port):
            return port
    raise ServerStartError(f"no free port on {host} between {candidates.start} and {candidates.stop}: give one")


def _taken(host: str, port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None
