"""Runs a command on this machine while it is a node of a Ray cluster: whoever asks a cluster has to be on one of them.

    python3 -m framesift.serving.indexing.ray_node ADDRESS [COMMAND ...]

The node takes no work: it declares no processors and no GPUs. Command and node end together. Without a command it waits
for the cluster's head, and makes no node. It exits with the command's status, and with 1 where there is no cluster or
the node ended first, as it does a minute after the cluster's head is gone. ``FRAMESIFT_OBJECT_STORE`` is the shared
memory of the node in MiB (256), which holds what the command sends to others: a bundle's graph.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from ...export.bundle.errors import FramesiftError, InvalidRequest, ServerUnavailable
from .ray_cluster import look_for

VARIABLE, _MIB = "FRAMESIFT_OBJECT_STORE", 256
# Ray itself refuses less.
_LEAST_MIB = 75
# A cluster's head may have an image to fetch first.
_PATIENCE_S, _TOLD_S, _LOOK_S = 600.0, 15.0, 0.2
_STARTED = "Ray runtime started"
_STOP_S = 10.0
_PR_SET_PDEATHSIG = 1
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(address: str, command: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    for number in _FORWARDED:
        signal.signal(number, _end)
    _wait_for(address)
    if not command:
        return 0
    with _node(address) as node:
        ran = subprocess.Popen(command, preexec_fn=_with_parent)

        def forward(number: int, _: FrameType | None) -> None:
            ran.send_signal(number)

        for number in _FORWARDED:
            signal.signal(number, forward)
        # Whoever else ends is a stray: in a container this is the process that has to bury them.
        ended = 0
        while ended not in (ran.pid, node.pid):
            ended, status = os.wait()
        if ended == ran.pid:
            code = os.waitstatus_to_exitcode(status)
            ran.returncode = code
            return code if code >= 0 else 128 - code
        node.returncode = os.waitstatus_to_exitcode(status)
        _say(f"this machine's node of the Ray cluster at {address} has ended, and so does what needs it")
        ran.terminate()
        ran.wait()
        return 1


def _wait_for(address: str) -> None:
    """Wait for the cluster's head.

    Raises:
        ServerUnavailable: it does not answer in time.
    """
    begun = told = time.monotonic()
    while True:
        try:
            return look_for(address)
        except ServerUnavailable as error:
            now = time.monotonic()
            if now - begun > _PATIENCE_S:
                raise
            if now - told >= _TOLD_S:
                told = now
                _say(f"{now - begun:6.0f} s  {error}")
        time.sleep(1)


@contextlib.contextmanager
def _node(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """The node's process, once the node is there."""
    options = ["--num-cpus=0", "--num-gpus=0", f"--object-store-memory={_object_store()}", "--disable-usage-stats"]
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", f"--address={address}", "--block", *options]
    with tempfile.NamedTemporaryFile(prefix="framesift-ray-node-") as said:
        node = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, preexec_fn=_with_parent
        )
        try:
            while _STARTED not in (text := Path(said.name).read_text(encoding="utf-8", errors="replace")):
                if node.poll() is not None:
                    lines = [line.strip() for line in text.splitlines() if line.strip()]
                    raise ServerUnavailable(
                        f"this machine can't become a node of the Ray cluster at {address}: {' '.join(lines[-6:])}"
                    )
                time.sleep(_LOOK_S)
            yield node
        finally:
            if node.returncode is None:
                node.terminate()
                try:
                    node.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    node.kill()
                    node.wait()


def _object_store() -> int:
    text = os.environ.get(VARIABLE) or str(_MIB)
    if not text.isdigit() or int(text) < _LEAST_MIB:
        raise InvalidRequest(f"{VARIABLE} is {text!a:.40}, it must be a number of MiB from {_LEAST_MIB} on")
    return int(text) << 20


def _with_parent() -> None:
    """In a child: end when this process is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except (FramesiftError, OSError) as fault:
        sys.exit(f"Error: {fault}")
