"""Restarting model processes that died or hang.

Triton server never starts a dead model process again and goes on calling its model ready. The watchdog compares the
processes that run with those that ran at the start, reads their signs of life, and makes the server load a model anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from ..backends import heartbeat

_INTERVAL_S = 0.2
# A model that fails to load again is tried less and less often, up to this.
_LONGEST_BACKOFF_S = 60.0
_STUB = b"triton_python_backend_stub"
# Found in the folder of a version, it tells nothing; that it came and went changes the folder's time.
_TOUCH = ".restarted"


class Watchdog:
    """A thread that keeps every model's processes at the number that ran when it was started.

    Args:
        server: process id of the server.
        heartbeats: where the models' processes write their signs of life.
        address: host:port of the server's gRPC.
        admin_key: opens the repository API.
        hang_after_s: the longest silence, and the longest execution, before a process is killed.
    """

    def __init__(self, server: int, heartbeats: Path, address: str, admin_key: str, *, hang_after_s: float) -> None:
        self._server, self._heartbeats = server, heartbeats
        self._address, self._admin_key = address, admin_key
        self._hang_after_s = hang_after_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._retry_at: dict[Path, float] = {}
        self._failures: Counter[Path] = Counter()

    def start(self) -> None:
        """Take what runs now for what shall run, and watch it."""
        self._wanted = Counter(self._processes().values())
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when no reload is under way."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        missing: set[Path] = set()
        while not self._stopped.wait(_INTERVAL_S):
            if not Path("/proc", str(self._server)).exists():
                return
            processes = self._processes()
            self._kill_hung(processes)
            found = Counter(processes.values())
            short = {model for model, count in self._wanted.items() if found[model] < count}
            # A process that was short at two looks is dead, not just being replaced.
            for model in short & missing:
                self._reload(model)
            missing = short

    def _processes(self) -> dict[int, Path]:
        """The server's model processes and the file of the model that each runs."""
        found = {}
        for children in Path(f"/proc/{self._server}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for pid in children.read_text().split():
                    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    # A dead process that the server has not collected has no command line.
                    if len(arguments) > 2 and _STUB in arguments[0]:
                        found[int(pid)] = Path(os.fsdecode(arguments[1]))
        return found

    def _kill_hung(self, processes: dict[int, Path]) -> None:
        now = time.monotonic()
        for beat in heartbeat.read(self._heartbeats):
            if beat.pid not in processes:
                (self._heartbeats / str(beat.pid)).unlink(missing_ok=True)
                continue
            stuck = beat.busy_since > 0 and now - beat.busy_since > self._hang_after_s
            silent = now - beat.alive > self._hang_after_s
            if stuck or silent:
                what = "has been in one request" if stuck else "has given no sign of life"
                _say(f"{_name(processes[beat.pid])} {what} for {self._hang_after_s:.0f} s: killing it")
                with contextlib.suppress(OSError):
                    os.kill(beat.pid, signal.SIGKILL)
                del processes[beat.pid]

    def _reload(self, model: Path) -> None:
        if time.monotonic() < self._retry_at.get(model, 0.0):
            return
        import tritonclient.grpc as grpc

        _say(f"{_name(model)} has died: starting it again")
        try:
            # The server loads anew only what has changed on disk; the old instance serves until the new one is ready.
            touched = model.parent / _TOUCH
            touched.touch()
            touched.unlink()
            with grpc.InferenceServerClient(self._address) as client:
                client.load_model(_name(model), headers={"triton-grpc-protocol-admin-key": self._admin_key})
        except (OSError, grpc.InferenceServerException) as error:
            self._failures[model] += 1
            wait = min(_LONGEST_BACKOFF_S, 2.0 ** self._failures[model])
            self._retry_at[model] = time.monotonic() + wait
            _say(f"{_name(model)} did not start again, next try in {wait:.0f} s: {error}")
        else:
            self._failures.pop(model, None)
            self._retry_at.pop(model, None)


def _name(model: Path) -> str:
    return model.parent.parent.name


def _say(line: str) -> None:
    print(f"framesift watchdog: {line}", file=sys.stderr, flush=True)
