"""What a run leaves on the machine, and removing it: shared memory and processes that carry the run's mark.

A run is known by its mark, ``framesift-<random>-``, which begins the names of its shared memory and stands in its
processes' command lines. As long as it lives its keeper holds a lock on a file of that name; the kernel lets go of the
lock however the keeper ends, and unlike a process id it means the same in every container that shares the memory.
Needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import signal
import time
from collections.abc import Collection
from pathlib import Path

from .processes import model_processes, server_processes

SHARED_MEMORY = Path("/dev/shm")
_MARK = re.compile(r"framesift-[0-9a-f]{12}-")
_OWNER = "owner"
# Healthy model processes end by themselves within this time after their server.
_GRACE_S = 1.5
# And ones that are killed are gone within this time, unless the kernel itself is stuck.
_KILLED_S = 5.0


def new_mark() -> str:
    """A mark that no other run has."""
    return f"framesift-{secrets.token_hex(6)}-"


def launch_mark(mark: str, launch: int | str) -> str:
    """What begins the names of the shared memory of the run's so-manieth Triton server."""
    return f"{mark}{launch}-"


def claim(mark: str) -> int:
    """Take the lock that says that the run lives; it is held until the file descriptor returned is closed."""
    while True:
        lock = os.open(SHARED_MEMORY / f"{mark}{_OWNER}", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A sweep that came between the two calls has removed the file as one that nobody holds.
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)


def make_private(mark: str) -> None:
    """Keep other users from the run's shared memory: Triton server makes it readable for all, whatever the umask."""
    for path in SHARED_MEMORY.glob(f"{mark}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def remove(mark: str) -> None:
    """End every process with this mark, after a moment in which it may end by itself, and remove its shared memory."""
    for pid in _left(mark, _GRACE_S):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    _left(mark, _KILLED_S)
    for path in SHARED_MEMORY.glob(f"{mark}*"):
        if path.name != f"{mark}{_OWNER}":
            with contextlib.suppress(OSError):
                path.unlink()
    with contextlib.suppress(OSError):
        (SHARED_MEMORY / f"{mark}{_OWNER}").unlink()


def _left(mark: str, patience_s: float) -> list[int]:
    """The processes with this mark that have not ended after a while."""
    deadline = time.monotonic() + patience_s
    while (alive := server_processes(mark.encode())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def remove_orphans(mark: str) -> None:
    """Remove what a Triton server left that was a child of this process: model processes, and memory with ``mark``."""
    for process in model_processes(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
    for path in SHARED_MEMORY.glob(f"{mark}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def collect_strays(own: Collection[int]) -> None:
    """Collect ended processes that became this one's children when their parents were killed.

    Args:
        own: the children whose ends somebody else wants to see.
    """
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own:
            os.waitpid(ended.si_pid, 0)


def sweep() -> list[str]:
    """Remove what is left of runs of this user whose keeper was killed; returns their marks."""
    swept = []
    names = sorted({found.group() for path in SHARED_MEMORY.iterdir() if (found := _MARK.match(path.name))})
    for mark in names:
        try:
            lock = os.open(SHARED_MEMORY / f"{mark}{_OWNER}", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(mark)
            swept.append(mark)
        except OSError:
            continue
        finally:
            os.close(lock)
    return swept
