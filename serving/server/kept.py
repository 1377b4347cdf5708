"""The keeper's process, as its launcher sees it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from . import keeper
from .child import Program
from .cleanup import remove
from .run_folder import RunFolder

# The keeper gives the servers 15 s, and what they leave behind a few more.
_STOP_S = 25.0


class Kept:
    """A keeper that was started with some programs.

    Args:
        mark: the run's.
        temporary: the keeper removes the folder where this process is gone.
        environment: the keeper's own.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        folder: RunFolder,
        mark: str,
        environment: Mapping[str, str],
        *,
        temporary: bool,
    ) -> None:
        self._mark = mark
        self._ended = False
        told = {
            "log": str(folder.log),
            "temporary": temporary,
            "programs": [program.values() for program in programs],
        }
        (folder.root / keeper.SPECIFICATION).write_text(json.dumps(told), encoding="utf-8")
        arguments = [mark, str(folder.root), str(os.getpid())]
        with folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", keeper.__name__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                cwd=folder.work,
                bufsize=0,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        # Once it says so, the programs run and their process ids are told.
        self._process.stdout.read(1)

    @property
    def alive(self) -> bool:
        """Whether the keeper runs."""
        return self._process.poll() is None

    def all_answer(self) -> None:
        """From now on, what ends is to be started again."""
        self._write(keeper.READY)

    def wait(self) -> int:
        """Block until the keeper ends; returns its exit status."""
        return self._process.wait()

    def end(self) -> None:
        """Let requests that are being answered finish, end the programs, and remove what they left in shared memory.

        A second time does nothing.
        """
        if self._ended:
            return
        self._ended = True
        # A byte, because its end alone reaches nobody while a child forked by this process holds the pipe too.
        self._write(b"\n")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        remove(self._mark)

    def _write(self, said: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(said)
