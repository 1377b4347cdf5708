"""Seconds of a command, and processor seconds of it and of all that it started, daemons among them.

    python -m framesift.bench.indexing.spent COMMAND ...

Prints a line of JSON once all of them have ended. What the command leaves behind becomes a child of this process, which
waits for it. Ray's raylet waits for none of its workers, which are watched (``Unwaited``). So nothing is counted twice,
and what a process of Ray's takes is counted wherever it was started.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .unwaited import Unwaited

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock until the command's end, and of processors until that of the last process."""

    wall_s: float
    cpu_s: float


def spent(command: Sequence[str]) -> Spent:
    """What a command takes, in a process of its own.

    Raises:
        RuntimeError: the command fails; the message holds the end of what it said.
    """
    program = [sys.executable, "-m", "framesift.bench.indexing.spent", *command]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def _main(command: Sequence[str]) -> int:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    begun, cpu_s, wall_s, code = time.monotonic(), 0.0, 0.0, 1
    first = subprocess.Popen(command, stdout=sys.stderr).pid
    unwaited = Unwaited()
    unwaited.start()
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        unwaited.waited(pid)
        cpu_s += used.ru_utime + used.ru_stime
        if pid == first:
            wall_s, code = time.monotonic() - begun, os.waitstatus_to_exitcode(status)
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s + unwaited.end()}))
    return code


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
