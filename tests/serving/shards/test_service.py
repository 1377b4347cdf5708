"""The port of a shard, whoever calls there."""

from __future__ import annotations

import os
import resource
import socket
import time
from typing import Any

from framesift.serving.shards.connection import SECRET_BYTES
from framesift.serving.shards.service import Service


def test_a_shard_without_room_for_a_caller_takes_the_next_ones() -> None:
    nobody: Any = None
    service = Service(nobody, "127.0.0.1", "s" * SECRET_BYTES)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as caller:
        caller.settimeout(10)
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
