"""One process that the keeper starts, and starts again. Needs the standard library alone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from .asking import Asking

# Takes the number of the start in a command.
LAUNCH = "@launch@"
_PR_SET_PDEATHSIG = 1
# A Ctrl-C or the end of a session is the launcher's to handle.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_PAUSE_S = 30.0
# Descriptors, which a shell commonly limits to 1,024 though it may have more: every connection takes one.
_DESCRIPTORS = 1 << 16


@dataclass(frozen=True)
class Program:
    """What a process is started with.

    Attributes:
        command: for the first start, and ``again`` for all later ones.
        stale: files that a killed process leaves behind and that would keep the next from starting.
        answers: where it listens once it can answer: the path of a unix socket for Triton server, or host:port.
    """

    name: str
    command: Sequence[str]
    again: Sequence[str]
    environment: Mapping[str, str]
    stale: Sequence[str]
    answers: str

    def values(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Child:
    """A program's process. It ends with this one, however that dies."""

    def __init__(self, program: Program, output: IO[bytes]) -> None:
        self._program, self._output = program, output
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = Asking(program.answers)
        self._answered = False
        self._failures = 0
        self._due = 0.0
        self.starts = 0

    @property
    def name(self) -> str:
        """The program's name."""
        return self._program.name

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid if self._process is not None else 0

    @property
    def leaves_memory(self) -> bool:
        """Whether each of its starts has shared memory of its own, which is left behind where it is killed."""
        return any(LAUNCH in word for word in self._program.command)

    @property
    def status(self) -> int | None:
        """How the process ended, as a shell tells it; None while it runs."""
        status = self._process.poll() if self._process is not None else 0
        return status if status is None or status >= 0 else 128 - status

    def start(self) -> None:
        """Start the process. Call it from the main thread: the kernel ends the child with the thread that forked it.

        Raises:
            OSError: the machine has no room for it; that counts as one that ended.
        """
        command = self._program.again if self.starts else self._program.command
        self.starts += 1
        self._answered = False
        self._asking.close()
        try:
            for path in self._program.stale:
                Path(path).unlink(missing_ok=True)
            self._process = subprocess.Popen(
                [word.replace(LAUNCH, str(self.starts)) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=dict(self._program.environment),
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError:
            self.ended()
            raise

    def look(self) -> None:
        """See whether a process that was started answers by now."""
        if not self._answered and self.status is None:
            self._answered = self._asking.answered()
            self._failures = 0 if self._answered else self._failures

    def ended(self) -> None:
        """The process has ended. One that had answered is started at once, others later and later."""
        if not self._answered:
            self._failures += 1
        pause = min(_LONGEST_PAUSE_S, 2.0 ** (self._failures - 1)) if self._failures else 0.0
        self._due = time.monotonic() + pause
        self._process = None

    @property
    def due(self) -> bool:
        """Whether a process that has ended is to be started now."""
        return self._process is None and time.monotonic() >= self._due

    def stop(self, patience_s: float) -> None:
        """Ask the process to end, and end it after a while."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()


def descriptors() -> int:
    """How many files and connections a process of the keeper's may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft, _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS))


def _die_with(parent: int) -> Any:
    libc, hard = ctypes.CDLL(None), resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def prepare() -> None:
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors(), hard))
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare
