"""Tells the models where the shards' actors are: keeps the file that they read."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ...export.bundle.errors import FramesiftError, ServerError
from .directory import Directory

# Whoever tidies up old files takes this one, too.
_LOOK_S = 5.0
# A disk that is full, or a folder that is gone.
_ANEW_S = 1.0
_log = logging.getLogger(__name__)


class Herald:
    """Knows which actors of which shard answer where; from ``begin`` to ``end`` the file says so.

    Args:
        secret: what callers of the actors have to know.
        shards: how many there are.
        replicas: that each should have.
    """

    def __init__(self, path: Path, secret: str, shards: int, replicas: int) -> None:
        self._path, self._secret, self._replicas = path, secret, replicas
        # By shard those that answer, with their addresses, the one first that is there longest.
        self._there: list[dict[int, str]] = [{} for _ in range(shards)]
        self._faults: dict[int, str] = {}
        self._changing, self._changed, self._stopping = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="shard-herald", daemon=True)

    def begin(self) -> None:
        """Write the file, and keep it.

        Raises:
            ServerError: it can't be written; later that is tried again.
        """
        self._write()
        self._thread.start()

    def end(self) -> None:
        """Leave the file as it is."""
        self._stopping.set()
        self._changed.set()
        self._thread.join()

    def is_at(self, shard: int, actor: int, address: str) -> None:
        """An actor answers at an address, behind those that have been there meanwhile."""
        with self._changing:
            self._faults.pop(shard, None)
            self._there[shard].pop(actor, None)
            self._there[shard][actor] = address
        self._changed.set()

    def is_gone(self, shard: int, actor: int) -> None:
        """An actor answers no more."""
        with self._changing:
            self._there[shard].pop(actor, None)
        self._changed.set()

    def cannot(self, shard: int, fault: FramesiftError) -> None:
        """An actor can't search its shard."""
        with self._changing:
            self._faults[shard] = str(fault)
        self._changed.set()

    def _keep(self) -> None:
        complaint = ""
        while not self._stopping.is_set():
            if not self._changed.wait(_LOOK_S) and self._path.exists():
                continue
            self._changed.clear()
            if self._stopping.is_set():
                return
            try:
                self._write()
                complaint = ""
            except ServerError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _log.error("models do not learn where shards are: %s", error)
                self._stopping.wait(_ANEW_S)
                self._changed.set()

    def _write(self) -> None:
        with self._changing:
            addresses = [[*each.values()] for each in self._there]
            told = Directory(self._secret, addresses, self._replicas, dict(self._faults))
        told.write(self._path)
