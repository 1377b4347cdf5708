"""The server's command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .addresses import Addresses
from .keeper import KEY_HERE
from .run_folder import RunFolder

# Only the holder of the admin key may change models, map shared memory, trace or set what is logged. HTTP inference
# needs the key too: single requests of it end this server.
_GUARDED = "model-repository,shared-memory,trace,logging"
_EXIT_S = 5


def server_command(
    files: Path,
    folder: RunFolder,
    repository: Path,
    addresses: Addresses,
    *,
    mark: str,
    extra: Sequence[str],
) -> list[str]:
    """What starts the server.

    Args:
        files: where the wheel keeps it.
        mark: begins the names of the run's shared memory.
        extra: further arguments; they win over those given here.

    The guarded parts open for the admin key, as the metadata ``triton-grpc-protocol-admin-key`` and the header
    ``admin-key``; the keeper puts it in where ``KEY_HERE`` stands.
    """
    return [
        str(files / "bin/tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={folder.backends}",
        f"--cache-directory={files / 'caches'}",
        *(f"--{name}-address={addresses.host}" for name in ("grpc", "http", "metrics")),
        f"--grpc-port={addresses.grpc}",
        f"--http-port={addresses.http}",
        f"--metrics-port={addresses.metrics}",
        "--disable-auto-complete-config",
        # Where a model has a configuration of this name, it is for the backends of this package.
        "--model-config-name=embedded",
        "--model-control-mode=explicit",
        "--load-model=*",
        f"--exit-timeout-secs={_EXIT_S}",
        "--log-format=ISO8601",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        f"--backend-config=python,shm-region-prefix-name={mark}",
        f"--grpc-restricted-protocol={_GUARDED}:admin-key={KEY_HERE}",
        f"--http-restricted-api={_GUARDED},inference:admin-key={KEY_HERE}",
        *extra,
    ]
