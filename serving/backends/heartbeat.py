"""Signs of life from a model's process to the watchdog, through a small memory-mapped file.

A thread stamps ``alive``, so a process that is stopped, or that hangs without letting other threads run, falls silent;
``busy_since`` shows one that is stuck in a request. Nothing is written where the environment names no folder.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "FRAMESIFT_HEARTBEATS"
INTERVAL_S = 0.5
_STAMP = struct.Struct("<d")
_LAYOUT = struct.Struct("<dd")
_BUSY_OFFSET = 8


@dataclass(frozen=True)
class Beat:
    """What a process last said: both times are of the machine's monotonic clock, in seconds; 0 is "not busy"."""

    pid: int
    alive: float
    busy_since: float


class Heartbeat:
    """Writes this process' signs of life into the folder named by the environment, if it names one.

    Make it once the model is loaded: loading may rightly take longer than any request.

    Args:
        thread: stamp by a thread of its own; without it whoever made it calls ``stamp``.
    """

    def __init__(self, *, thread: bool = True) -> None:
        self._map: mmap.mmap | None = None
        folder = os.environ.get(VARIABLE)
        if folder is None:
            return
        with open(Path(folder, str(os.getpid())), "w+b") as stream:
            stream.write(_LAYOUT.pack(time.monotonic(), 0.0))
            stream.flush()
            self._map = mmap.mmap(stream.fileno(), _LAYOUT.size)
        if thread:
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stamp(self) -> None:
        """Say that this process lives."""
        if self._map is not None:
            _STAMP.pack_into(self._map, 0, time.monotonic())

    def _beat(self) -> None:
        while True:
            self.stamp()
            time.sleep(INTERVAL_S)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Marks the block as the time of one execution."""
        if self._map is None:
            yield
            return
        _STAMP.pack_into(self._map, _BUSY_OFFSET, time.monotonic())
        try:
            yield
        finally:
            _STAMP.pack_into(self._map, _BUSY_OFFSET, 0.0)


def read(folder: Path) -> list[Beat]:
    """The last sign of every process that wrote one into ``folder``."""
    beats = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError, ValueError, struct.error):
            beats.append(Beat(int(path.name), *_LAYOUT.unpack(path.read_bytes())))
    return beats
