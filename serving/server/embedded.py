"""NVIDIA's Triton server out of the nvidia-pytriton wheel, as a child of this process."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ...export.bundle.errors import ServerError, ServerStartError
from . import keeper
from .layout import RunFolder
from .log import failure
from .preflight import check_interpreter, check_path, check_port, check_stub, free_port, server_files
from .watchdog import Watchdog

_PREFIX = "framesift"
# Only who started the server may change its models, map shared memory, trace, or infer over HTTP, which has requests
# that end the server.
_GUARDED = "model-repository,shared-memory,trace,logging"
_EXIT_S = 5


class EmbeddedServer:
    """One run of the server. Use it as a context manager, or call ``start`` and ``stop``.

    Args:
        repository: the model repository.
        run_dir: folder of this run's backends and log; a temporary one, removed at the end, without it.
        host: address to listen on. Requests for inference are not authenticated, so think before you widen it.
        grpc_port, http_port, metrics_port: free ones are chosen for those not given.
        env: further environment variables for the models.
        start_deadline_s: how long all models together may take to load.
        hang_after_s: a model's process that is silent, or in one request, for longer is killed and started again.
        extra_args: further arguments of tritonserver.

    Raises:
        ServerStartError: the machine, the environment or a path would keep the server from working.
    """

    def __init__(
        self,
        repository: Path,
        *,
        run_dir: Path | None = None,
        host: str = "127.0.0.1",
        grpc_port: int | None = None,
        http_port: int | None = None,
        metrics_port: int | None = None,
        env: Mapping[str, str] | None = None,
        start_deadline_s: float = 120.0,
        hang_after_s: float = 60.0,
        extra_args: Sequence[str] = (),
    ) -> None:
        check_interpreter()
        self._server_files = server_files()
        self.repository = repository.resolve()
        self._temporary = run_dir is None
        self._folder = RunFolder((run_dir or Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-"))).resolve())
        check_path(self.repository, "the model repository")
        check_path(self._folder.root, "the run's folder")
        if not self.repository.is_dir():
            raise ServerStartError(f"there is no model repository at {self.repository}")
        self.host = host
        self._given = (grpc_port, http_port, metrics_port)
        self._ports = (0, 0, 0)
        self._env = dict(env or {})
        self._start_deadline_s, self._hang_after_s = start_deadline_s, hang_after_s
        self._extra = list(extra_args)
        self.admin_key = secrets.token_hex(16)
        # The launcher's id in the name lets a later run find what a killed one left behind.
        self.shared_memory_prefix = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(4)}-"
        self._keeper: subprocess.Popen[str] | None = None
        self._watchdog: Watchdog | None = None
        self.pid = 0

    @property
    def grpc_address(self) -> str:
        """host:port for clients."""
        return f"{self.host}:{self._ports[0]}"

    @property
    def http_address(self) -> str:
        """host:port of health, statistics, and of inference for holders of the admin key."""
        return f"{self.host}:{self._ports[1]}"

    @property
    def metrics_address(self) -> str:
        """host:port of the Prometheus metrics."""
        return f"{self.host}:{self._ports[2]}"

    @property
    def log_path(self) -> Path:
        """The log of the server and its models."""
        return self._folder.log

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> EmbeddedServer:
        """Start the server and wait until every model is ready.

        Raises:
            ServerStartError: it did not become ready; the message holds the log's errors.
        """
        _sweep_earlier_runs()
        self._folder.root.mkdir(parents=True, exist_ok=True)
        self._folder.build(self._server_files)
        environment = self._folder.environment(self._env)
        check_stub(self._folder.stub, environment)
        chosen: list[int] = []
        for given in self._given:
            if given is not None:
                check_port(self.host, given)
            port = given or free_port(self.host)
            while given is None and port in (*chosen, *self._given):
                port = free_port(self.host)
            chosen.append(port)
        self._ports = (chosen[0], chosen[1], chosen[2])
        command = [
            sys.executable,
            "-I",
            keeper.__file__,
            self.shared_memory_prefix,
            str(self.log_path),
            "--",
            *self._command(),
        ]
        self._keeper = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self._folder.root,
            start_new_session=True,
        )
        try:
            assert self._keeper.stdout is not None
            self.pid = int(self._keeper.stdout.readline() or 0)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self._watchdog = Watchdog(
            self.pid,
            self._folder.heartbeats,
            self.grpc_address,
            self.admin_key,
            hang_after_s=self._hang_after_s,
        )
        self._watchdog.start()
        return self

    def _command(self) -> list[str]:
        grpc, http, metrics = map(str, self._ports)
        files = self._server_files
        return [
            str(files / "bin/tritonserver"),
            f"--model-repository={self.repository}",
            f"--backend-directory={self._folder.backends}",
            f"--cache-directory={files / 'caches'}",
            *(f"--{name}-address={self.host}" for name in ("grpc", "http", "metrics")),
            f"--grpc-port={grpc}",
            f"--http-port={http}",
            f"--metrics-port={metrics}",
            "--disable-auto-complete-config",
            "--model-control-mode=explicit",
            "--load-model=*",
            f"--exit-timeout-secs={_EXIT_S}",
            "--log-format=ISO8601",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory_prefix}",
            f"--grpc-restricted-protocol={_GUARDED}:admin-key={self.admin_key}",
            f"--http-restricted-api={_GUARDED},inference:admin-key={self.admin_key}",
            *self._extra,
        ]

    def _wait_until_ready(self) -> None:
        import tritonclient.grpc as grpc

        deadline = time.monotonic() + self._start_deadline_s
        with grpc.InferenceServerClient(self.grpc_address) as client:
            while self.alive:
                with contextlib.suppress(grpc.InferenceServerException):
                    if client.is_server_ready(client_timeout=1.0):
                        return
                if time.monotonic() > deadline:
                    raise ServerStartError(
                        f"Triton server was not ready within {self._start_deadline_s:.0f} s:\n"
                        f"  {failure(self.log_path)}"
                    )
                time.sleep(0.05)
        raise ServerStartError(f"Triton server did not start:\n  {failure(self.log_path)}")

    def wait(self) -> None:
        """Block until the server ends.

        Raises:
            ServerError: it ended although nobody stopped it; the message holds the log's errors.
        """
        if self._keeper is None:
            return
        status = self._keeper.wait()
        if self._watchdog is not None:
            raise ServerError(f"Triton server ended by itself (status {status}):\n  {failure(self.log_path)}")

    def stop(self) -> None:
        """Let requests that are being answered finish, stop the server, and remove what it left."""
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            assert self._keeper.stdout is not None
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper.stdout.close()
            self._keeper = None
        if self._temporary:
            shutil.rmtree(self._folder.root, ignore_errors=True)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _sweep_earlier_runs() -> None:
    """Remove shared memory whose launcher no longer runs."""
    for name in os.listdir(keeper.SHARED_MEMORY):
        prefix, _, rest = name.partition("-")
        owner, _, _ = rest.partition("-")
        if prefix == _PREFIX and owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                Path(keeper.SHARED_MEMORY, name).unlink()
