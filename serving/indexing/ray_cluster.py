"""A connection to a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping
from typing import Any

from ...export.bundle.errors import InvalidRequest, ServerUnavailable

LOCAL = "local"
# A GPU's resource, as Ray calls it, and how fine a share of one may be.
GPU, _DECIMALS = "GPU", 4
_CONNECT_S = 5.0
# Of clusters that are started here. Ray reports on them, unless it is told not to. By its default its workers have a
# niceness of 15, with which they get next to nothing of a processor that any other process wants.
_NODES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


def connect(address: str, **own: Any) -> Any:
    """Connect to a cluster, or start one on this machine where the address is ``LOCAL``, which ends with this process.

    Args:
        own: settings of one that is started.

    Returns:
        Ray's module.

    Raises:
        ServerUnavailable: no cluster answers.
    """
    import ray

    for name, value in _NODES.items():
        os.environ.setdefault(name, value)
    look_for(address)
    settings: dict[str, Any] = {"include_dashboard": False, **own} if address == LOCAL else {}
    ends = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **settings)
    # A node that does not start in time, as on a machine with too much to do, is a plain one.
    except Exception as error:
        told = " ".join(str(error).split())
        raise ServerUnavailable(f"no Ray cluster answers at {address}: {told:.300}") from error
    finally:
        # Ray puts a handler of its own in the place of this process'.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ends)
    return ray


def look_for(address: str) -> None:
    """Connect to a host and port, which Ray itself would try for minutes; other addresses are Ray's to understand.

    Raises:
        ServerUnavailable: nobody answers there.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ServerUnavailable(f"no Ray cluster answers at {address}: {error}") from error


def check_gpus_each(gpus: float, option: str) -> None:
    """Refuse a number of GPUs that Ray gives no actor.

    Raises:
        InvalidRequest: neither a share of one nor a whole number; the message names the option that said so.
    """
    if (gpus > 1 and gpus % 1) or round(gpus, _DECIMALS) != gpus:
        raise InvalidRequest(
            f"{option} is {gpus:g}: an actor takes a share of one GPU, of {_DECIMALS} decimals at most, or a whole "
            "number of them"
        )


def fits(has: Mapping[str, float], asked: Mapping[str, float]) -> int:
    """How many actors a node has room for that take so much each; a share of a GPU is all of one GPU's."""
    found = []
    for name, amount in asked.items():
        there = has.get(name, 0.0)
        found.append(int(there) * int(1 / amount) if name == GPU and amount < 1 else int(there / amount))
    return min(found)
