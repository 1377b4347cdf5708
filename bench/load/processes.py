"""What the server's processes use: CPU seconds and memory."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from ...serving.server.processes import model_processes
from ..schema.load import ProcessUse

SERVER, DOOR = "tritonserver", "door"
# The door's process.
_ENVOY = "envoy"
_MB = 1e6


@dataclass(frozen=True)
class Usage:
    """One process so far: CPU seconds, and resident bytes now."""

    name: str
    cpu_s: float
    rss: int


def usage(server: int) -> dict[int, Usage]:
    """The server with this process id, its models' processes and its door, by process id; none that have ended."""
    names = {server: SERVER, **{process.pid: process.model for process in model_processes(server)}}
    names |= dict.fromkeys(_beside(server, _ENVOY), DOOR)
    found = {}
    for pid, name in names.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            found[pid] = Usage(name, times.user + times.system, process.memory_info().rss)
    return found


def spent(before: Mapping[int, Usage], after: Mapping[int, Usage]) -> dict[str, ProcessUse]:
    """CPU seconds between two moments and memory at the later one, by model; its instances are added up."""
    cpu_s: dict[str, float] = {}
    rss: dict[str, int] = {}
    for pid, late in after.items():
        early = before.get(pid)
        cpu_s[late.name] = cpu_s.get(late.name, 0.0) + late.cpu_s - (early.cpu_s if early else 0.0)
        rss[late.name] = rss.get(late.name, 0) + late.rss
    return {name: ProcessUse(round(cpu_s[name], 3), round(rss[name] / _MB, 3)) for name in cpu_s}


def server_on(address: str) -> int | None:
    """The process id of the Triton server whose door is at ``address``; None if it is another machine's or user's."""
    host, _, port = address.rpartition(":")
    if host not in {"127.0.0.1", "localhost", "[::1]"}:
        return None
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == int(port) and connection.pid:
                return next(iter(_beside(connection.pid, SERVER)), None)
    return None


def _beside(pid: int, name: str) -> list[int]:
    """The processes of this name whose parent, the keeper, is that of another."""
    with contextlib.suppress(psutil.Error):
        keeper = psutil.Process(pid).parent()
        return [child.pid for child in keeper.children() if child.name() == name] if keeper is not None else []
    return []
