"""The process between the launcher and the server, so that the server never outlives the launcher.

Runs alone: ``python keeper.py PREFIX LOG -- COMMAND``. It starts COMMAND, prints its process id, and waits for it or
for its own standard input to end, which happens however the launcher dies. Then it stops the server and removes the
processes and the shared memory that carry PREFIX. Needs the standard library alone, and imports little of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
# Only the end of its standard input may stop the keeper: a Ctrl-C is the launcher's to handle.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHARED_MEMORY = "/dev/shm"
_STOP_S = 15
# Healthy model processes notice the end of the server within this time.
_GRACE_S = 1.0


def sweep(prefix: str) -> None:
    """Kill every process that was given ``prefix`` and remove the shared memory of that name."""
    mark = b"\0" + prefix.encode()
    deadline = time.monotonic() + _GRACE_S
    while (alive := _carrying(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in alive:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for name in os.listdir(SHARED_MEMORY):
        if name.startswith(prefix):
            with contextlib.suppress(OSError):
                os.unlink(f"{SHARED_MEMORY}/{name}")


def _carrying(mark: bytes) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as stream:
                arguments = stream.read()
                # The keeper carries the prefix as well.
                if mark in arguments and b"triton_python_backend_stub" in arguments:
                    found.append(int(name))
    return found


def _die_with_the_keeper() -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def keep(prefix: str, log: str, command: list[str]) -> int:
    """Run ``command`` until it ends or the launcher does; returns its exit status."""
    with open(log, "ab") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=_die_with_the_keeper
        )
    print(server.pid, flush=True)
    ended = os.pidfd_open(server.pid)
    select.select([ended, sys.stdin.fileno()], [], [])
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
    status = server.wait()
    sweep(prefix)
    return status


if __name__ == "__main__":
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(keep(sys.argv[1], sys.argv[2], sys.argv[4:]) & 0xFF)
