"""Kernels compiled ahead of time by a command, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

# The interpreter's tests may have left their choice in this process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}


def told_by(module: str, *arguments: str) -> str:
    """What the command of ``module`` prints; it must find no fault."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
