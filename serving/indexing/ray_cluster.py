"""A connection to a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from typing import Any

from ...export.bundle.errors import ServerUnavailable

LOCAL = "local"
_CONNECT_S = 5.0


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

    # Ray reports on clusters that it starts, unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _look_for(address)
    settings: dict[str, Any] = {"include_dashboard": False, **own} if address == LOCAL else {}
    ends = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ServerUnavailable(f"no Ray cluster answers at {address}: {told:.300}") from error
    finally:
        # Ray puts a handler of its own in the place of this process'.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ends)
    return ray


def _look_for(address: str) -> None:
    """Connect to a host and port, which Ray itself would try for minutes.

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
