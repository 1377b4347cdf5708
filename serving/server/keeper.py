"""The process between the launcher and the servers: it starts them, starts them again, and never outlives the launcher.

    python -m framesift.serving.server.keeper MARK RUN LAUNCHER

The file ``keeper.json`` in the folder RUN says what is to be run. The keeper prints a line once everything is started.
It ends when one of its processes ends before its standard input has brought ``READY``; from then on it starts every one
that ends again. It stops all of them when its standard input brings anything else or ends, or when the process LAUNCHER
ends, however that happens; then it removes what the run left, and the folder too, if it is temporary and the launcher
is gone. Its own death kills its processes at once. Needs the standard library alone.

Processes are forked from this process' only thread: the kernel's death signal is tied to the thread that forked, so a
launcher with threads of its own could not use it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ..front.supervision import DRAINED, PROCESSES, write_state
from .child import IGNORED, Child, Program
from .cleanup import claim, collect_strays, launch_mark, remove, remove_orphans

SPECIFICATION = "keeper.json"
# What the launcher writes once everything answers; anything else, and the end of the input, ends the run.
READY = b"ready\n"
_STDIN = 0
_PR_SET_CHILD_SUBREAPER = 36
# Longer than the servers take to give up on requests that don't end; once the launcher is gone nobody waits for those.
_STOP_S = 15
_STOP_ALONE_S = 5
_LOOK_S = 0.2


class Keeper:
    """Keeps the processes of one run.

    Args:
        mark: the run's, see ``cleanup``.
        folder: the run's.
        launcher: the process for which all this runs.
    """

    def __init__(self, mark: str, folder: Path, launcher: int, children: list[Child]) -> None:
        self._mark, self._folder, self._launcher, self._children = mark, folder, launcher, children
        self._serving = False

    def run(self) -> int:
        """Start everything and keep it running until the end; returns the exit status."""
        for child in self._children:
            child.start()
        self._tell()
        print("started", flush=True)
        status = 0
        while self._wanted():
            ended = [child for child in self._children if child.pid and child.status is not None]
            if ended and not self._serving:
                status = ended[0].status or 1
                break
            try:
                self._revive(ended)
                for child in self._children:
                    child.look()
            except OSError as error:
                # A full disk or table of processes passes; the keeper's own end would be the end of everything.
                self._say(f"a process could not be started again, and is tried again: {error}")
        self._stop()
        return status

    def _wanted(self) -> bool:
        """Wait a moment, or until something happens; whether the launcher still wants the run."""
        watched = [os.pidfd_open(child.pid) for child in self._children if child.pid and child.status is None]
        try:
            happened = select.select([_STDIN, *watched], [], [], _LOOK_S)[0]
        finally:
            for descriptor in watched:
                os.close(descriptor)
        # A child that the launcher forks holds the other end of standard input too, so its end alone would not do.
        if os.getppid() != self._launcher:
            return False
        if _STDIN not in happened:
            return True
        said = os.read(_STDIN, 4096)
        self._serving = self._serving or said.startswith(READY)
        return bool(said) and said == READY

    def _revive(self, ended: list[Child]) -> None:
        for child in ended:
            self._say(f"{child.name} has ended (status {child.status}) and is started again")
            child.ended()
            if child.leaves_memory:
                remove_orphans(launch_mark(self._mark, child.starts))
        collect_strays({child.pid for child in self._children})
        started = [child for child in self._children if child.due]
        for child in started:
            child.start()
        if started:
            self._tell()

    def _stop(self) -> None:
        """Let what was let in be answered, then end everything."""
        patience_s = _STOP_S if os.getppid() == self._launcher else _STOP_ALONE_S
        deadline = time.monotonic() + patience_s
        self._tell(stopping=True)
        drained = self._folder / DRAINED
        while len(self._children) > 1 and self._alive() and not drained.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for child in reversed(self._children):
            child.stop(max(1.0, deadline - time.monotonic()))

    def _alive(self) -> bool:
        return all(child.pid and child.status is None for child in self._children)

    def _tell(self, *, stopping: bool = False) -> None:
        pids = {child.name: child.pid for child in self._children}
        starts = {child.name: child.starts for child in self._children}
        with contextlib.suppress(OSError):
            write_state(self._folder / PROCESSES, {"pids": pids, "starts": starts, "stopping": stopping})

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):
            print(f"framesift keeper: {line}", file=sys.stderr, flush=True)


def main(mark: str, run: str, launcher: str) -> int:
    """The program; the arguments are those of the module's docstring."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    # What the servers and the models write is no business of other users.
    os.umask(0o077)
    # What a process leaves behind becomes this process' child, and ends with it.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    folder = Path(run)
    told: dict[str, Any] = json.loads((folder / SPECIFICATION).read_text(encoding="utf-8"))
    lock = claim(mark)
    with open(told["log"], "ab") as output:
        children = [Child(Program(**values), output) for values in told["programs"]]
        status = Keeper(mark, folder, int(launcher), children).run()
    if told["temporary"] and os.getppid() != int(launcher):
        shutil.rmtree(folder, ignore_errors=True)
    remove(mark)
    os.close(lock)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
