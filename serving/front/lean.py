"""Starting in half the time: KServe v2's messages without the client that they come with."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_CLIENT, _MESSAGES = "tritonclient", "tritonclient.grpc"


def without_grpc() -> None:
    """Let ``tritonclient.grpc.service_pb2`` be imported without its package, which loads gRPC.

    The door needs no gRPC library, and each tenth of a second counts when it has to be started again. For a process
    that is the door alone: whoever calls this can't use the client.
    """
    spec = find_spec(_CLIENT)
    if spec is not None and spec.submodule_search_locations and _MESSAGES not in sys.modules:
        package = ModuleType(_MESSAGES)
        package.__path__ = [str(Path(spec.submodule_search_locations[0], "grpc"))]
        sys.modules[_MESSAGES] = package
