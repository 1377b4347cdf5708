"""Triton server's command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .files import ServerFiles
from .run_folder import RunFolder

_EXIT_S = 5
# Of the requests without a trace, one in so many would begin one: none.
_NEVER = 2_000_000_000


def server_command(
    files: ServerFiles,
    folder: RunFolder,
    repository: Path,
    *,
    load: Sequence[str],
    memory: str,
    extra: Sequence[str],
) -> list[str]:
    """What starts the server.

    It listens for HTTP on sockets in the run's folder, which nobody else can enter, and not for gRPC at all: its gRPC
    frontend dies of calls that are cancelled.

    Args:
        files: the server's own.
        load: the models to load; none for all.
        memory: begins the names of its shared memory.
        extra: further arguments; they win over those given here.
    """
    return [
        str(files.binary),
        f"--model-repository={repository}",
        f"--backend-directory={files.backends or folder.backends}",
        f"--cache-directory={files.caches}",
        "--allow-grpc=false",
        f"--http-address=unix:{folder.triton}",
        f"--metrics-address=unix:{folder.triton_metrics}",
        "--disable-auto-complete-config",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in load or ("*",)),
        f"--exit-timeout-secs={_EXIT_S}",
        "--log-format=ISO8601",
        f"--backend-config=python,shm-region-prefix-name={memory}",
        *files.options,
        *extra,
    ]


def trace_arguments(url: str) -> list[str]:
    """What has the server make spans of every step of the requests that come with a trace, and of no others.

    Args:
        url: of the collector's traces. The server is told of no certificates: with ``https`` there are no such spans.
    """
    if not url.startswith("http://"):
        return []
    settings = (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        f"rate={_NEVER}",
        f"opentelemetry,url={url}",
        "opentelemetry,resource=service.name=framesift-triton",
    )
    return [f"--trace-config={setting}" for setting in settings]
