"""Restarting model processes that died or hang.

Triton server never starts a dead model process again and goes on calling its model ready. The watchdog compares the
processes that run with those that the models' configurations ask for, reads their signs of life, and makes the server
load a model anew. The server reloads only what has changed on disk, so the version's folder is given the present time.

A Triton server that the keeper had to start again has loaded the models that searches need; the watchdog has it load
the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...export.bundle.errors import ServerError
from ..backends import heartbeat
from ..front.supervision import write_state
from .admin import Admin
from .cleanup import make_private
from .processes import ModelProcess, arguments, model_processes

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.25
# Looking through all processes takes milliseconds, so between such looks only the known ones are asked for.
_FULL_LOOK_S = 2.0
# After a pause of the whole machine, a process may take this long to show that it lives.
_HANG_CONFIRMED_S = 2.0
_LONGEST_PAUSE_S = 60.0
# The door's event loop turns many times a second.
_DOOR_HANG_S = 15.0
# Triton server answers about its health while it loads models and while all of them are busy.
_SILENT_S = 30.0
_ASK_S = 1.0


@dataclass
class Restarts:
    """What the watchdog did for one version of a model."""

    failed: int = 0
    ended: float = 0.0
    running: bool = False

    def due(self, now: float) -> bool:
        """Whether it may be restarted now: at once where it had been serving, after 1, 2, 4, ... s where it failed."""
        pause = min(_LONGEST_PAUSE_S, 2.0 ** (self.failed - 1)) if self.failed else 0.0
        return not self.running and now >= self.ended + pause


class Watchdog:
    """A thread that keeps every model at the number of processes that its configuration asks for.

    Args:
        server: tells the present process id of Triton server, ``door`` that of the door.
        heartbeats: where the processes write their signs of life.
        admin: the server's repository API.
        mark: begins the names of the run's shared memory, which it keeps from other users.
        log: file to which it writes what it does, besides Python's ``logging``.
        state: file in which it says which models lack processes, and how often each was restarted.
        hang_after_s: the longest silence, and the longest execution, before a process is killed.
        load_deadline_s: the longest that a model may take to load again.
    """

    def __init__(
        self,
        server: Callable[[], int],
        door: Callable[[], int],
        heartbeats: Path,
        admin: Admin,
        mark: str,
        log: Path,
        state: Path,
        *,
        hang_after_s: float,
        load_deadline_s: float,
    ) -> None:
        self._heartbeats, self._admin, self._log, self._state = heartbeats, admin, log, state
        self._mark = mark
        self._server_now, self._door = server, door
        self._server = server()
        self._loading = False
        self._hang_after_s, self._load_deadline_s = hang_after_s, load_deadline_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._known: list[ModelProcess] = []
        self._looked = float("-inf")
        self._expected: dict[Path, int] = {}
        self._suspected: dict[int, float] = {}
        self._restarts: dict[Path, Restarts] = {}
        self._counts: Counter[str] = Counter()
        self._told: dict[str, Any] = {}
        self._asked = self._heard = time.monotonic()

    def start(self) -> None:
        """Begin to watch; every model must be ready."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a reload in progress ends with the server."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            try:
                self._look()
            except Exception:
                # Without the watchdog nothing is restarted, so no single failure may end it.
                _LOG.exception("the watchdog failed, and goes on")

    def _look(self) -> None:
        now = time.monotonic()
        make_private(self._mark)
        self._kill_hung(now)
        if self._server_runs():
            self._kill_silent(now)
            self._look_at_models(now)
        self._tell()

    def _server_runs(self) -> bool:
        """Whether there is a Triton server to watch; one that was started again is told to load what it has not."""
        server = self._server_now()
        if server != self._server:
            self._server, self._loading = server, True
            self._known, self._looked = [], float("-inf")
            self._heard = time.monotonic()
            for each in (self._expected, self._suspected, self._restarts):
                each.clear()
        if self._loading and self._admin.ready():
            self._loading = False
            threading.Thread(target=self._load_others, args=(server,), name="load", daemon=True).start()
        return not self._loading and bool(arguments(server))

    def _kill_silent(self, now: float) -> None:
        """End a Triton server that has said nothing for long: the keeper starts another."""
        if now - self._asked < _ASK_S:
            return
        self._asked = now
        if self._admin.live():
            self._heard = time.monotonic()
        elif now - self._heard > _SILENT_S:
            self._say(f"Triton server has not answered for {_SILENT_S:g} s: killing it")
            self._heard = time.monotonic()
            _kill(self._server)

    def _load_others(self, server: int) -> None:
        """Load every model that is not, in a thread of its own."""
        pause_s = 1.0
        while server == self._server_now() and not self._stopped.is_set():
            try:
                missing = self._admin.unloaded()
                failed = [name for name in missing if not self._loaded(name)]
            except ServerError as error:
                self._say(f"not all models are loaded yet: {_first(error)}")
                failed = ["all"]
            if not failed:
                return
            self._stopped.wait(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    def _loaded(self, model: str) -> bool:
        try:
            self._admin.load(model, self._load_deadline_s)
        except ServerError as error:
            # It keeps none of the others away.
            self._say(f"{model} is not loaded yet: {_first(error)}")
            return False
        return True

    def _look_at_models(self, now: float) -> None:
        dead = any(not arguments(process.pid) for process in self._known)
        if not dead and now - self._looked < _FULL_LOOK_S and not self._short(self._known):
            return
        self._known, self._looked = model_processes(self._server), now
        for file in {process.file for process in self._known} - self._expected.keys():
            self._expect(file)
        for file in self._short(self._known):
            if self._restart_of(file).due(now) and self._confirmed(file):
                self._restart(file)

    def _short(self, processes: Sequence[ModelProcess]) -> list[Path]:
        """Models with fewer processes than they should have."""
        found = Counter(process.file for process in processes)
        return [file for file, count in self._expected.items() if found[file] < count]

    def _expect(self, file: Path) -> None:
        """Ask the server how many processes a model should have, and forget one that was unloaded."""
        model = ModelProcess(0, file)
        try:
            count = self._admin.instances(model.model, model.version)
        except ServerError:
            return
        if count:
            self._expected[file] = count
        else:
            self._expected.pop(file, None)

    def _confirmed(self, file: Path) -> bool:
        """Whether a model is still short of processes after a second look and the server's word on what it should have.

        When a model is unloaded, or replaced by a new version, its processes end just like this.
        """
        self._expect(file)
        self._known = model_processes(self._server)
        return file in self._short(self._known)

    def _restart_of(self, file: Path) -> Restarts:
        return self._restarts.setdefault(file, Restarts())

    def _restart(self, file: Path) -> None:
        restarts = self._restart_of(file)
        restarts.running = True
        threading.Thread(target=self._reload, args=(file, restarts), name="reload", daemon=True).start()

    def _reload(self, file: Path, restarts: Restarts) -> None:
        model, before = ModelProcess(0, file).model, {p.pid for p in self._known if p.file == file}
        self._say(f"a process of {model} has died: loading the model again")
        started = time.monotonic()
        try:
            os.utime(file.parent)
            self._admin.load(model, self._load_deadline_s)
        except (OSError, ServerError) as error:
            # One that hangs while it loads would keep the server from ever trying again.
            for process in model_processes(self._server):
                if process.file == file and process.pid not in before:
                    _kill(process.pid)
            restarts.failed += 1
            self._say(f"{model} did not load again, and is tried again later: {_first(error)}")
        else:
            restarts.failed = 0
            self._counts[model] += 1
            self._say(f"{model} is back after {time.monotonic() - started:.1f} s")
        restarts.ended = time.monotonic()
        restarts.running = False

    def _kill_hung(self, now: float) -> None:
        names = {process.pid: process.model for process in self._known}
        limits = dict.fromkeys(names, self._hang_after_s)
        if door := self._door():
            names[door], limits[door] = "the door", min(self._hang_after_s, _DOOR_HANG_S)
        hung = {}
        for beat in heartbeat.read(self._heartbeats):
            if beat.pid not in names:
                if not arguments(beat.pid):
                    (self._heartbeats / str(beat.pid)).unlink(missing_ok=True)
            elif beat.busy_since and now - beat.busy_since > limits[beat.pid]:
                hung[beat.pid] = "has been in one execution"
            elif now - beat.alive > limits[beat.pid]:
                hung[beat.pid] = "has given no sign of life"
        self._suspected = {pid: self._suspected.get(pid, now) for pid in hung}
        for pid, since in self._suspected.items():
            if now - since >= min(_HANG_CONFIRMED_S, limits[pid]):
                self._say(f"a process of {names[pid]} {hung[pid]} for {limits[pid]:g} s: killing it")
                _kill(pid)

    def _tell(self) -> None:
        """Say in the state file how things are, if that has changed."""
        short = sorted({ModelProcess(0, file).model for file in self._short(self._known)})
        told = {"short": short, "restarts": dict(self._counts)}
        if told != self._told:
            write_state(self._state, told)
            self._told = told

    def _say(self, line: str) -> None:
        if self._stopped.is_set():
            return
        _LOG.warning(line)
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as stream:
            stream.write(f"framesift watchdog: {line}\n")


def _first(error: Exception) -> str:
    """What an error says, without the trace that the server appends."""
    return str(error).partition("\n")[0]


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
