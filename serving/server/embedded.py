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
from . import keeper, preflight
from .addresses import Addresses, choose, reachable, resolve
from .admin import Admin
from .cleanup import new_mark, remove, sweep
from .command import server_command
from .log import failure, said
from .run_folder import RunFolder
from .watchdog import Watchdog

_STARTS = 3
# The keeper gives the server 15 s, and what the server leaves behind a few more.
_STOP_S = 25.0
# By itself glibc has eight heaps for each core, and what a burst of requests took from one of them is not there for the
# next burst, whose threads use others: five of 2,000 at once took 104 MB, then 117, 118, 126, 137. With one heap they
# take 102 together. Small blocks come from lists of each thread's own, so nobody waits for it.
_MEMORY = {"MALLOC_ARENA_MAX": "1"}


class EmbeddedServer:
    """One run of the server. Use it as a context manager, or call ``start`` and ``stop``.

    It ends with this process, however that dies. Its log, the models' backends and their signs of life are in the run's
    folder.

    Args:
        repository: the model repository.
        run_dir: folder for this run alone; without it a temporary one, removed at the end unless the start failed.
        host: IPv4 address to listen on. Requests for inference are not authenticated, so don't widen it lightly.
        grpc_port, http_port, metrics_port: free ones are chosen for those not given.
        env: further environment variables for the models.
        start_deadline_s: how long all models together may take to load.
        hang_after_s: a model's process that is silent, or in one execution, for longer is killed and started again.
        extra_args: further arguments of tritonserver.

    Raises:
        ServerStartError: a path can't be used.
    """

    def __init__(
        self,
        repository: str | os.PathLike[str],
        *,
        run_dir: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        grpc_port: int | None = None,
        http_port: int | None = None,
        metrics_port: int | None = None,
        env: Mapping[str, str] | None = None,
        start_deadline_s: float = 120.0,
        hang_after_s: float = 120.0,
        extra_args: Sequence[str] = (),
    ) -> None:
        self.repository = Path(repository).resolve()
        self.admin_key = secrets.token_hex(16)
        # Begins the names of the run's shared memory, and stands in the command lines of its processes.
        self.shared_memory_prefix = new_mark()
        self._temporary = run_dir is None
        place = Path(tempfile.gettempdir(), self.shared_memory_prefix + "run") if run_dir is None else Path(run_dir)
        self._folder = RunFolder(place.resolve())
        preflight.check_path(self.repository, "the model repository")
        preflight.check_path(self._folder.root, "the run's folder")
        self._host, self._given = host, (grpc_port, http_port, metrics_port)
        self._env, self._extra = dict(env or {}), list(extra_args)
        self._start_deadline_s, self._hang_after_s = start_deadline_s, hang_after_s
        self._addresses = Addresses(host, *(port or 0 for port in self._given))
        self._keeper: subprocess.Popen[str] | None = None
        self._watchdog: Watchdog | None = None
        self._stopping = False
        self.pid = 0

    @property
    def grpc_address(self) -> str:
        """host:port for clients on this machine."""
        return f"{self._addresses.client_host}:{self._addresses.grpc}"

    @property
    def http_address(self) -> str:
        """host:port of health and statistics, and of the rest of HTTP for holders of the admin key."""
        return f"{self._addresses.client_host}:{self._addresses.http}"

    @property
    def metrics_address(self) -> str:
        """host:port of the Prometheus metrics."""
        return f"{self._addresses.client_host}:{self._addresses.metrics}"

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
            ServerStartError: something would keep it from working, or it did not become ready; the message says what.
        """
        if self._keeper is not None:
            raise ServerStartError("this server was started already: make another EmbeddedServer")
        preflight.check_machine()
        files = preflight.server_files()
        preflight.check_repository(self.repository)
        host = resolve(self._host)
        sweep()
        try:
            self._folder.build(files)
            environment = self._folder.environment({**_MEMORY, **self._env})
            preflight.check_processes(self._folder.stub, environment)
            self._start_on(host, files, environment)
        except BaseException:
            # Where the server ran, its log is worth keeping.
            if self._temporary and self._keeper is None:
                shutil.rmtree(self._folder.root, ignore_errors=True)
            raise
        self._watchdog = Watchdog(
            self.pid,
            self._folder.heartbeats,
            self._admin(),
            self.log_path,
            hang_after_s=self._hang_after_s,
            load_deadline_s=self._start_deadline_s,
        )
        self._watchdog.start()
        return self

    def _start_on(self, host: str, files: Path, environment: Mapping[str, str]) -> None:
        for attempt in range(1, _STARTS + 1):
            self._addresses = choose(host, self._given)
            try:
                self._launch(files, environment)
                self._wait_until_ready()
                return
            except BaseException as error:
                self._end()
                # A port that was free a moment ago can be taken while the models load; there are others.
                taken = isinstance(error, ServerStartError) and said(self.log_path, "already in use")
                if not taken or attempt == _STARTS or None not in self._given:
                    raise
                self.log_path.write_bytes(b"")

    def _admin(self) -> Admin:
        return Admin(self._addresses.client_host, self._addresses.http, self.admin_key)

    def _launch(self, files: Path, environment: Mapping[str, str]) -> None:
        command = server_command(
            files,
            self._folder,
            self.repository,
            self._addresses,
            mark=self.shared_memory_prefix,
            extra=self._extra,
        )
        temporary = str(self._folder.root) if self._temporary else ""
        arguments = [self.shared_memory_prefix, str(self.log_path), str(os.getpid()), temporary, "--", *command]
        with self.log_path.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", keeper.__name__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**environment, keeper.KEY_VARIABLE: self.admin_key},
                cwd=self._folder.work,
                start_new_session=True,
            )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline() or 0)

    def _wait_until_ready(self) -> None:
        admin, addresses = self._admin(), self._addresses
        deadline = time.monotonic() + self._start_deadline_s
        while self.alive:
            # Ready is said over HTTP; the other two may begin to listen a moment later.
            if admin.ready() and all(
                reachable(addresses.client_host, port) for port in (addresses.grpc, addresses.metrics)
            ):
                return
            if time.monotonic() > deadline:
                raise ServerStartError(
                    f"Triton server was not ready within {self._start_deadline_s:g} s:\n{self._reasons()}"
                )
            time.sleep(0.05)
        raise ServerStartError(f"Triton server did not start:\n{self._reasons()}")

    def _reasons(self) -> str:
        reasons = failure(self.log_path)
        return f"{reasons}\n  (the whole log: {self.log_path})" if self._temporary else reasons

    def wait(self) -> None:
        """Block until the server ends.

        Raises:
            ServerError: it ended although nobody stopped it; the message holds the log's errors.
        """
        if self._keeper is None:
            return
        status = self._keeper.wait()
        if not self._stopping:
            raise ServerError(f"Triton server ended by itself (status {status}):\n{failure(self.log_path)}")

    def stop(self) -> None:
        """Let requests that are being answered finish, stop the server, and remove what it left."""
        self._stopping = True
        if self._watchdog is not None:
            self._watchdog.stop()
        self._end()
        if self._temporary:
            shutil.rmtree(self._folder.root, ignore_errors=True)

    def _end(self) -> None:
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with contextlib.suppress(OSError):
            # One byte, because its end alone reaches nobody while a child forked by this process holds the pipe too.
            self._keeper.stdin.write("\n")
            self._keeper.stdin.close()
        try:
            self._keeper.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._keeper.stdout.close()
        remove(self.shared_memory_prefix)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
