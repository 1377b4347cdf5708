"""Triton server itself, behind the door: some tests are of it, and clients never reach it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tritonclient.grpc as grpc

from framesift.export.bundle.errors import ServerError
from framesift.serving.server.admin import Admin
from framesift.serving.server.embedded import EmbeddedServer


@contextmanager
def opened(
    folder: Path, repository: Path, **options: Any
) -> Iterator[tuple[EmbeddedServer, grpc.InferenceServerClient]]:
    """A Triton server of ``repository`` without a door, and a gRPC client of its own socket in ``folder``."""
    socket = folder / "grpc"
    arguments = ["--allow-grpc=true", f"--grpc-address=unix:{socket}", "--grpc-port=1"]
    with (
        EmbeddedServer(repository, extra_args=arguments, **options) as server,
        grpc.InferenceServerClient(f"unix:{socket}:1") as client,
    ):
        yield server, client


def all_loaded(server: EmbeddedServer) -> bool:
    """Whether all models are loaded, as far as Triton server says so: it may be silent while it loads one."""
    try:
        return not Admin(server.triton_socket).unloaded()
    except ServerError:
        return False
