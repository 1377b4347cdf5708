"""The lease of a writer: who holds it is told, and what the dead held is free."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.serving.gallery.lock import exclusive

_HOLDS = """
import sys, time
from pathlib import Path
from framesift.serving.gallery.lock import exclusive
with exclusive(Path(sys.argv[1]), 1):
    print("held", flush=True)
    time.sleep(60)
"""


def test_who_holds_a_lease_is_told_and_a_dead_holder_s_is_taken_over(tmp_path: Path) -> None:
    lease = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", _HOLDS, str(lease)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = rf"another writer has held .*\.lock for 0\.1 s: process {holder.pid} on {socket.gethostname()} \('-c"
        with pytest.raises(GalleryError, match=told), exclusive(lease, 0.1):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    with exclusive(lease, 0):
        assert json.loads(lease.read_text())["pid"] == os.getpid()
    assert lease.read_text() == ""


def test_a_thread_of_the_same_process_waits_too(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "a", 1),
        pytest.raises(GalleryError, match="another writer"),
        exclusive(tmp_path / "a", 0),
    ):
        pass


def test_another_machine_s_lease_ends_with_its_term(tmp_path: Path) -> None:
    """Where file systems are shared, that machine's lock may not be seen here."""
    lease, now = tmp_path / ".lock", time.time()
    holder = {"host": "elsewhere", "pid": 7, "command": "framesift serve", "since": now, "until": now + 60}
    lease.write_text(json.dumps(holder))
    with pytest.raises(GalleryError, match="process 7 on elsewhere"), exclusive(lease, 0.05):
        pass
    lease.write_text(json.dumps({**holder, "until": now - 1}))
    with exclusive(lease, 0):
        pass


@pytest.mark.parametrize(
    "left",
    [
        *("{", "[1]", '{"host": 1}', "x" * 9000, '{"host": "a", "pid": "b"}', "[" * 4000),
        '{"host": "a", "pid": Infinity, "command": "", "since": 0, "until": 0}',
    ],
)
def test_what_is_no_lease_keeps_nobody_out(tmp_path: Path, left: str) -> None:
    (tmp_path / ".lock").write_text(left)
    with exclusive(tmp_path / ".lock", 0):
        pass
