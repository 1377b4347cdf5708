"""A run's log on the standard error, as it is written: as lines, or as JSON for whoever collects a container's logs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

# How lines of Triton server begin, and of Envoy in the door.
_TRITON = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>[EWIF]) \d+ (?P<where>\S+)\] ?")
_ENVOY = re.compile(r"\[(?P<time>\d{4}-\d\d-\d\d [\d:.]+)\]\[\d+\]\[(?P<level>\w+)\]\[(?P<where>\w+)\] ?")
_LEVELS = {"E": "error", "W": "warning", "I": "info", "F": "critical"}
_LOOK_S = 0.2
# What was passed on is in the file no longer, once it is so large: nobody else keeps it from filling the disk.
_LARGEST = 64 << 20
_LONGEST_LINE = 16 << 10


class PassingOn:
    """Writes what a log gets, from its beginning, until it is closed.

    Args:
        log: a file to which processes append. It is emptied now and then.
        json_lines: write an object for each line: ``time``, ``level``, ``where`` and ``message``.
    """

    def __init__(
        self, log: Path, *, json_lines: bool = False, out: TextIO | None = None, largest: int = _LARGEST
    ) -> None:
        self._log, self._json, self._out, self._largest = log, json_lines, out or sys.stderr, largest
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pass on what is left."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        begun = b""
        with self._log.open("rb") as stream:
            while True:
                last = self._stopped.wait(_LOOK_S)
                while piece := stream.read(1 << 20):
                    *lines, begun = (begun + piece).split(b"\n")
                    self._put(lines)
                if len(begun) > _LONGEST_LINE or (last and begun):
                    self._put([begun])
                    begun = b""
                if last:
                    return
                if stream.tell() > self._largest:
                    # Who appends goes on at the beginning. A line that comes just now is lost.
                    os.truncate(self._log, 0)
                    stream.seek(0)

    def _put(self, lines: list[bytes]) -> None:
        # Where nobody takes lines any more, the file is emptied all the same.
        with suppress(OSError, ValueError):
            for raw in lines:
                line = raw.decode("utf-8", "replace")
                print(told(line) if self._json else line, file=self._out)
            self._out.flush()


def told(line: str) -> str:
    """A line as JSON: what it says of itself, and of others when they were read."""
    found = _TRITON.match(line) or _ENVOY.match(line)
    if found is None:
        return json.dumps({"time": _shown(time.time()), "level": "info", "message": line})
    when = found["time"].replace(" ", "T").removesuffix("Z") + "Z"
    level = _LEVELS.get(found["level"], found["level"])
    return json.dumps({"time": when, "level": level, "where": found["where"], "message": line[found.end() :]})


def log_as_json() -> None:
    """Have warnings and errors of this process' own loggers written to the standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Record())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Record(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        level = record.levelname.lower()
        return json.dumps({"time": _shown(record.created), "level": level, "where": record.name, "message": message})


def _shown(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1e6):06d}Z"


@contextmanager
def passed_on(log: Path, *, json_lines: bool = False) -> Iterator[None]:
    """Have a log passed on while the block runs."""
    passing = PassingOn(log, json_lines=json_lines)
    try:
        yield
    finally:
        passing.close()
