"""How the clients connect."""

from __future__ import annotations

DEFAULT_ADDRESS = "127.0.0.1:8001"
DEFAULT_TIMEOUT_S = 30.0

_LARGEST_MESSAGE = 2**31 - 1
_THIS_MACHINE = {"127.0.0.1", "localhost", "[::1]"}


def channel_options(address: str) -> list[tuple[str, int]]:
    """gRPC's options for a connection to ``address``."""
    options = [
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        # gRPC would wait up to two minutes before it tries a server again that was not up yet.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if address.rpartition(":")[0] in _THIS_MACHINE:
        # gRPC would send even these calls through http_proxy.
        options.append(("grpc.enable_http_proxy", 0))
    return options
