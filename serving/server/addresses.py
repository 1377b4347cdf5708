"""Where the server listens."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import ServerStartError

ANY = "0.0.0.0"
_LOOPBACK = "127.0.0.1"
# Below the ports of outgoing connections: the kernel could give one of those away while the models load.
_LOWEST, _HIGHEST = 10240, 32767
_TRIES = 200


@dataclass(frozen=True)
class Addresses:
    """An IPv4 address and three ports."""

    host: str
    grpc: int
    http: int
    metrics: int

    @property
    def client_host(self) -> str:
        """The address under which this machine reaches the server."""
        return _LOOPBACK if self.host == ANY else self.host


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


def choose(host: str, ports: Sequence[int | None]) -> Addresses:
    """The ports given, checked, and free ones for those that are None.

    Args:
        host: an IPv4 address.
        ports: gRPC, HTTP, metrics.

    Raises:
        ServerStartError: one of them is given twice or is taken.
    """
    given = [port for port in ports if port is not None]
    if len(set(given)) < len(given):
        raise ServerStartError(f"gRPC, HTTP and metrics need three different ports, got {given}")
    for port in given:
        if reason := _taken(host, port):
            raise ServerStartError(f"can't listen on {host}:{port}: {reason}; is another server running there?")
    free = iter(_free(host, given, len(ports) - len(given)))
    grpc, http, metrics = (next(free) if port is None else port for port in ports)
    return Addresses(host, grpc, http, metrics)


def reachable(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _free(host: str, given: Sequence[int], count: int) -> list[int]:
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(_LOWEST, max(min(_HIGHEST, lowest_outgoing), _LOWEST + _TRIES))
    found: list[int] = []
    for port in random.sample(candidates, _TRIES):
        if len(found) == count:
            break
        if port not in given and not _taken(host, port):
            found.append(port)
    if len(found) < count:
        raise ServerStartError(f"no free ports on {host} between {candidates.start} and {candidates.stop}: give some")
    return found


def _taken(host: str, port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None
