"""Services end with the benchmark that started them, whatever ends it."""

from __future__ import annotations

import ctypes
import os
import signal

# Names the benchmark's process to a service.
PARENT_VARIABLE = "FRAMESIFT_BENCH_PARENT"
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the process that started this one is gone; Linux alone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(PARENT_VARIABLE, str(os.getppid())) != str(os.getppid()):
        raise SystemExit("the benchmark ended while this service was loading")
