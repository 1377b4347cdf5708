"""The process between the launcher and the server, so that the server never outlives the launcher.

    python -m framesift.serving.server.keeper MARK LOG LAUNCHER FOLDER -- COMMAND

The admin key comes in the environment and takes the place of ``KEY_HERE`` in COMMAND, so that no list of processes
shows it: not the keeper's own, nor, as soon as the server has read it, the server's.

It starts COMMAND, prints its process id, and waits until it ends, until its own standard input brings a byte or ends,
or until the process LAUNCHER ends, however that happens. Then it stops the server and removes what the run left; FOLDER
too, unless it is empty, if the launcher is gone. Its own death kills the server at once. It exits with the server's
status. Needs the standard library alone.

The server is forked from this process' only thread: the kernel's death signal is tied to the thread that forked, so a
launcher with threads of its own could not use it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .cleanup import claim, remove

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# A Ctrl-C or the end of a session is the launcher's to handle; it ends the keeper through its standard input.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Longer than the server takes to give up on requests that don't end; once the launcher is gone nobody waits for those.
_STOP_S = 15
_STOP_ALONE_S = 5
_LOOK_S = 0.2
_SOON_S = 0.01
KEY_HERE = "@admin-key@"
KEY_VARIABLE = "FRAMESIFT_ADMIN_KEY"
# Places in /proc/PID/stat, counted from the state, of the addresses between which the arguments lie.
_ARGUMENTS = slice(45, 47)


def hide(pid: int, secret: str) -> None:
    """Overwrite ``secret`` in the arguments of a process, which every user of the machine can list."""
    with contextlib.suppress(OSError, ValueError):
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        start, end = map(int, stat[_ARGUMENTS])
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            shown = memory.read(end - start)
            memory.seek(start)
            memory.write(shown.replace(secret.encode(), b"*" * len(secret)))


def keep(mark: str, launcher: int, log: str, command: Sequence[str], key: str) -> int:
    """Run ``command`` until it ends, the launcher does, or the launcher says so; returns its exit status."""
    libc = ctypes.CDLL(None)
    # What the server leaves behind becomes this process' child, and ends with it.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    keeper = os.getpid()

    def die_with_the_keeper() -> None:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os.kill(os.getpid(), signal.SIGKILL)

    lock = claim(mark)
    with open(log, "ab") as output:
        said = os.fstat(output.fileno()).st_size
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_the_keeper
        )
    with contextlib.suppress(BrokenPipeError):
        print(server.pid, flush=True)
    hidden = not key
    # A child that the launcher forks holds the other end of standard input too, so its end alone would not do.
    while server.poll() is None and os.getppid() == launcher:
        if not hidden and os.stat(log).st_size > said:
            # What logs has read its arguments.
            hide(server.pid, key)
            hidden = True
        if select.select([sys.stdin], [], [], _LOOK_S if hidden else _SOON_S)[0]:
            break
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_STOP_S if os.getppid() == launcher else _STOP_ALONE_S)
        except subprocess.TimeoutExpired:
            server.kill()
    status = server.wait()
    remove(mark)
    os.close(lock)
    return status if status >= 0 else 128 - status


def main(mark: str, log: str, launcher: str, folder: str, _: str, *command: str) -> int:
    """The program; the arguments are those of the module's docstring."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    # What the server and its models write is no business of other users.
    os.umask(0o077)
    key = os.environ.pop(KEY_VARIABLE, "")
    status = keep(mark, int(launcher), log, [part.replace(KEY_HERE, key) for part in command], key)
    if folder and os.getppid() != int(launcher):
        shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
