"""What the server's processes use: CPU seconds, memory, and how much of the CPU went into the models' own work.

Transport is everything else that the server does for a request: gRPC, the ensembles' steps, queues, copies into and out
of shared memory, tensors made of requests and responses. ``tritonserver`` itself is all transport. A model's process
counts the CPU seconds, of all its threads, that pass within ``Backend.run``, and adds them to its signs of life; what
else it uses is transport. ``compute_share`` is the former's part of all that the server's processes use, idle threads
included.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from ...serving.backends.heartbeat import VARIABLE as HEARTBEATS
from ...serving.server.processes import model_processes

SERVER = "tritonserver"
_COMPUTE = struct.Struct("<d")
_COMPUTE_OFFSET = 16
_MB = 1e6


@dataclass(frozen=True)
class Usage:
    """One process so far: CPU seconds, resident bytes, and the CPU seconds of its model's own work if it tells them."""

    name: str
    cpu_s: float
    rss: int
    compute_s: float | None


def usage(server: int) -> dict[int, Usage]:
    """The server with this process id and its models' processes, by process id; those that have ended are left out."""
    names = {server: SERVER, **{process.pid: process.model for process in model_processes(server)}}
    found = {}
    for pid, name in names.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            compute = None if pid == server else _compute(pid)
            found[pid] = Usage(name, times.user + times.system, process.memory_info().rss, compute)
    return found


def spent(before: Mapping[int, Usage], after: Mapping[int, Usage]) -> dict[str, dict[str, Any]]:
    """CPU and compute seconds between two moments and memory at the later one, by model; its instances are added up."""
    told: dict[str, dict[str, Any]] = {}
    for pid, late in after.items():
        early = before.get(pid)
        row = told.setdefault(late.name, {"cpu_s": 0.0, "rss_mb": 0.0, "compute_s": None})
        row["cpu_s"] += late.cpu_s - (early.cpu_s if early else 0.0)
        row["rss_mb"] += late.rss / _MB
        if late.compute_s is not None:
            row["compute_s"] = (row["compute_s"] or 0.0) + late.compute_s - ((early and early.compute_s) or 0.0)
    return {
        name: {key: None if value is None else round(value, 3) for key, value in row.items()}
        for name, row in told.items()
    }


def compute_share(server: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The part of the CPU that went into the models' work, of what ``spent`` told; None where no model tells."""
    computed = [row["compute_s"] for row in server.values() if row["compute_s"] is not None]
    total = sum(row["cpu_s"] for row in server.values())
    return round(sum(computed) / total, 4) if computed and total else None


def server_on(address: str) -> int | None:
    """The process id of the Triton server that listens on ``address``; None if it is another machine's or user's."""
    host, _, port = address.rpartition(":")
    if host not in {"127.0.0.1", "localhost", "[::1]"}:
        return None
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == int(port) and connection.pid:
                return int(connection.pid) if psutil.Process(connection.pid).name() == SERVER else None
    return None


def _compute(pid: int) -> float | None:
    with contextlib.suppress(OSError, struct.error):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        folder = next((v.partition(b"=")[2] for v in variables if v.startswith(HEARTBEATS.encode() + b"=")), None)
        if folder is not None:
            beat = Path(os.fsdecode(folder), str(pid)).read_bytes()
            return float(_COMPUTE.unpack_from(beat, _COMPUTE_OFFSET)[0])
    return None
