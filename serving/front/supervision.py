"""What the keeper and the watchdog say of the processes: files in the run's folder that they replace.

``processes.json`` is the keeper's, ``models.json`` the watchdog's. Both are of JSON, and small.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROCESSES = "processes.json"
MODELS = "models.json"
# Made by the door once nothing is left to be answered, after the keeper has said that the run is to end.
DRAINED = "drained"


def write_state(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a file as a whole, so that nobody reads half of it."""
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(values), encoding="utf-8")
    os.replace(scratch, path)


class Supervision:
    """Reads both files when they have changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    @property
    def short(self) -> set[str]:
        """Models that have fewer processes than they should."""
        return set(self._values(MODELS).get("short", ()))

    @property
    def stopping(self) -> bool:
        """Whether the run is to end: what was let in is finished."""
        return bool(self._values(PROCESSES).get("stopping", False))

    def pid(self, process: str) -> int:
        """The present process id of a process that the keeper runs; 0 for none."""
        return int(self._values(PROCESSES).get("pids", {}).get(process, 0))

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process and each model was started again."""
        starts = self._values(PROCESSES).get("starts", {})
        return {**{name: count - 1 for name, count in starts.items()}, **self._values(MODELS).get("restarts", {})}

    def _values(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        with contextlib.suppress(OSError, ValueError):
            stat = path.stat()
            stamp = stat.st_mtime_ns, stat.st_ino
            if name not in self._read or self._read[name][0] != stamp:
                self._read[name] = stamp, json.loads(path.read_text(encoding="utf-8"))
        return self._read.get(name, ((0, 0), {}))[1]
