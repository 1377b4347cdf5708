"""NVIDIA's Triton server and its front door, as children of this process."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ...export.bundle.errors import ServerError, ServerStartError
from ..front.supervision import MODELS, Supervision
from ..front.telemetry import NOTHING, Telemetry
from . import preflight
from .addresses import choose, client_host, reachable, resolve
from .admin import Admin
from .child import LAUNCH, Program
from .cleanup import launch_mark, new_mark, sweep
from .command import server_command, trace_arguments
from .door import NAME as DOOR
from .door import Reach, door_program
from .files import ServerFiles, of_wheel
from .kept import Kept
from .loading import Loading, Report, quiet
from .log import failure, said
from .run_folder import RunFolder
from .temporary import temporary_root
from .watchdog import Watchdog

_TRITON = "tritonserver"
_STARTS = 3
# So long models have to load, and so many bytes of weights a second more.
_LOAD_S = 120.0
_LOAD_BYTES_S = 20 << 20
# By itself glibc has eight heaps for each core, and what a burst of requests took from one of them is not there for the
# next burst, whose threads use others: five of 2,000 at once took 104 MB, then 117, 118, 126, 137. With one heap they
# take 102 together. Small blocks come from lists of each thread's own, so nobody waits for it.
_MEMORY = {"MALLOC_ARENA_MAX": "1"}


class EmbeddedServer:
    """One run of Triton server, with a front door if it is given one. Use it as a context manager, or ``start`` and
    ``stop`` it.

    It ends with this process, however that dies. What ends by itself before that is started again: Triton server, the
    door, and the models' processes. The log, the models' backends and their signs of life are in the run's folder.

    Args:
        repository: the model repository.
        run_dir: folder for this run alone; without it a temporary one, removed at the end unless the start failed.
        deployment: folder with the bundle's manifest and vocabulary, for the door; without it there is none, and
            ``triton_socket`` is all there is to call.
        reach: where clients reach the door, and who may.
        telemetry: what the door tells of calls.
        files: the Triton server's; by default those in the wheel of nvidia-pytriton.
        first: models that a Triton server that is started again loads before all others.
        env: further environment variables for the models.
        start_deadline_s: how long all models together may take to load; by default two minutes and a second for every
            20 MiB of weights and of what else they load.
        loads: folders of files that models load beside their weights.
        hang_after_s: a model's process that is silent, or in one execution, for longer is killed and started again.
        extra_args: further arguments of tritonserver.
        report: called with a line now and then while the models load.

    Raises:
        ServerStartError: a path can't be used.
    """

    def __init__(
        self,
        repository: str | os.PathLike[str],
        *,
        run_dir: str | os.PathLike[str] | None = None,
        deployment: str | os.PathLike[str] | None = None,
        reach: Reach | None = None,
        telemetry: Telemetry = NOTHING,
        files: ServerFiles | None = None,
        first: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        start_deadline_s: float | None = None,
        loads: Sequence[Path] = (),
        hang_after_s: float = 120.0,
        extra_args: Sequence[str] = (),
        report: Report = quiet,
    ) -> None:
        self.repository = Path(repository).resolve()
        # Begins the names of the run's shared memory, and stands in the command lines of its processes.
        self.shared_memory_prefix = new_mark()
        self._temporary = run_dir is None
        place = Path(temporary_root(), self.shared_memory_prefix + "run") if run_dir is None else Path(run_dir)
        self._folder = RunFolder(place.resolve())
        preflight.check_path(self.repository, "the model repository")
        preflight.check_path(self._folder.root, "the run's folder")
        preflight.check_socket(self._folder.triton_metrics)
        self._deployment = None if deployment is None else Path(deployment)
        self._reach, self._host, self._port = reach or Reach(), "", 0
        self._telemetry = telemetry
        self._files = files
        self._first, self._env, self._extra = list(first), dict(env or {}), list(extra_args)
        self._loads, self._report = (self.repository, *loads), report
        self._start_deadline_s, self._hang_after_s = start_deadline_s, hang_after_s
        # Bytes of large requests that may lie in shared memory at once; known when it was started.
        self.room = 0
        self._kept: Kept | None = None
        self._watchdog: Watchdog | None = None
        self._supervision = Supervision(self._folder.root)
        self._stopping = False

    @property
    def address(self) -> str:
        """host:port for clients on this machine: gRPC, health and metrics."""
        return f"{client_host(self._host)}:{self._port}"

    @property
    def triton_socket(self) -> Path:
        """Where Triton server itself listens for HTTP: for tests and measurements of what is behind the door."""
        return self._folder.triton

    @property
    def log_path(self) -> Path:
        """The log of the servers and their models."""
        return self._folder.log

    @property
    def alive(self) -> bool:
        """Whether the run goes on."""
        return self._kept is not None and self._kept.alive

    @property
    def pid(self) -> int:
        """Triton server's present process."""
        return self._supervision.pid(_TRITON)

    @property
    def door_pid(self) -> int:
        """The door's present process."""
        return self._supervision.pid(DOOR)

    def start(self) -> EmbeddedServer:
        """Start everything and wait until every model is ready.

        Raises:
            ServerStartError: something would keep it from working, or it did not become ready; the message says what.
        """
        if self._kept is not None:
            raise ServerStartError("this server was started already: make another EmbeddedServer")
        preflight.check_machine()
        files = self._files or of_wheel()
        self.room = preflight.check_repository(self.repository)
        if self._deployment is not None:
            self._host = resolve(self._reach.host)
            self._reach.check(self._host)
            self._telemetry.check()
            choose(self._host, self._reach.port)
        sweep()
        try:
            self._folder.build(files)
            environment = self._folder.environment({**_MEMORY, **self._env})
            preflight.check_processes(files.stub, environment)
            self._kept = self._started(files, environment)
        except BaseException:
            # Where the server ran, its log is worth keeping.
            if self._temporary and self._kept is None:
                shutil.rmtree(self._folder.root, ignore_errors=True)
            raise
        self._watchdog = Watchdog(
            lambda: self.pid,
            lambda: self.door_pid,
            self._folder.heartbeats,
            self._admin(),
            self.shared_memory_prefix,
            self.log_path,
            self._folder.root / MODELS,
            hang_after_s=self._hang_after_s,
            load_deadline_s=self._deadline_s(),
        )
        self._watchdog.start()
        self._kept.all_answer()
        return self

    def _started(self, files: ServerFiles, environment: Mapping[str, str]) -> Kept:
        for attempt in itertools.count(1):
            kept = Kept(
                self._programs(files, environment),
                self._folder,
                self.shared_memory_prefix,
                environment,
                temporary=self._temporary,
            )
            try:
                self._wait_until_ready(kept)
                break
            except BaseException as error:
                kept.end()
                self._kept = kept
                if attempt == _STARTS or not isinstance(error, ServerStartError) or not self._passes():
                    raise
                self.log_path.write_bytes(b"")
        return kept

    def _passes(self) -> bool:
        """Whether what kept the server from starting is likely to be gone when it is tried again."""
        # A port that was free a moment ago can be taken while the models load; there are others.
        if said(self.log_path, "cannot bind"):
            return self._reach.port is None
        # Seen now and then where much else runs as the server and its models' processes begin to share memory.
        return said(self.log_path, "boost::interprocess::lock_exception")

    def _programs(self, files: ServerFiles, environment: Mapping[str, str]) -> list[Program]:
        first, again = (
            server_command(
                files,
                self._folder,
                self.repository,
                load=load,
                memory=launch_mark(self.shared_memory_prefix, LAUNCH),
                extra=[*trace_arguments(self._telemetry.traces), *self._extra],
            )
            for load in ((), self._first)
        )
        sockets = [str(self._folder.triton), str(self._folder.triton_metrics)]
        programs = [Program(_TRITON, first, again, environment, sockets, sockets[0])]
        if self._deployment is not None:
            self._port = choose(self._host, self._reach.port)
            place = self._host, self._port, self._folder, self.shared_memory_prefix
            programs.append(
                door_program(self._deployment, self._reach, *place, environment, self.room, self._telemetry)
            )
        return programs

    def _admin(self) -> Admin:
        return Admin(self._folder.triton)

    def _wait_until_ready(self, kept: Kept) -> None:
        admin, loading = self._admin(), Loading(self.repository, self.log_path, self._report)
        deadline = time.monotonic() + self._deadline_s()
        while kept.alive:
            # Metrics and the door may begin to listen a moment later.
            if admin.ready() and self._folder.triton_metrics.exists() and self._door_answers():
                return
            if time.monotonic() > deadline:
                raise ServerStartError(
                    f"Triton server was not ready within {self._deadline_s():g} s:\n{self._reasons()}"
                )
            loading.look()
            time.sleep(0.05)
        raise ServerStartError(f"Triton server did not start:\n{self._reasons()}")

    def _door_answers(self) -> bool:
        return self._deployment is None or reachable(client_host(self._host), self._port)

    def _deadline_s(self) -> float:
        if self._start_deadline_s is not None:
            return self._start_deadline_s
        files = (path for folder in self._loads for path in folder.rglob("*"))
        return _LOAD_S + sum(map(_size, files)) / _LOAD_BYTES_S

    def _reasons(self) -> str:
        reasons = failure(self.log_path)
        return f"{reasons}\n  (the whole log: {self.log_path})" if self._temporary else reasons

    def wait(self) -> None:
        """Block until the run ends.

        Raises:
            ServerError: it ended although nobody stopped it; the message holds the log's errors.
        """
        if self._kept is None:
            return
        status = self._kept.wait()
        if not self._stopping:
            raise ServerError(f"the server ended by itself (status {status}):\n{failure(self.log_path)}")

    def stop(self) -> None:
        """Let requests that are being answered finish, stop the servers, and remove what they left."""
        self._stopping = True
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._kept is not None:
            self._kept.end()
        if self._temporary:
            shutil.rmtree(self._folder.root, ignore_errors=True)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _size(path: Path) -> int:
    """Bytes of a file; a gallery's may have gone by now."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
