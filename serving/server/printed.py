"""An access log on the standard output."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..front.telemetry import Telemetry

# The access log's file that stands for the standard output.
STDOUT = Path("-")
_LAST_LINES_S = 5.0


@contextlib.contextmanager
def printed(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Have an access log for the standard output written into a pipe with a name, and pass it on from there."""
    if telemetry.access_log != STDOUT:
        yield telemetry
        return
    with tempfile.TemporaryDirectory(prefix="framesift-") as folder:
        pipe = Path(folder, "access-log")
        os.mkfifo(pipe, 0o600)
        # The door may be started again: until the end somebody holds the pipe open.
        held = os.open(pipe, os.O_RDWR | os.O_CLOEXEC)
        passing_on = subprocess.Popen(["cat", str(pipe)], start_new_session=True)
        try:
            yield replace(telemetry, access_log=pipe)
        finally:
            os.close(held)
            try:
                passing_on.wait(_LAST_LINES_S)
            except subprocess.TimeoutExpired:
                passing_on.kill()
                passing_on.wait()
