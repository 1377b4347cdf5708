"""One line of JSON for every call, in a file that may be rotated: who called what, how it ended, where its time went.

Never a token, and no text unless that was asked for. Lines are written a moment later by a thread of their own, which
alone waits for the disk; where it can't keep up, lines are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

from .record import Record

_LOG = logging.getLogger(__name__)
_FLUSH_S = 0.25
# What may wait to be written, and how long the end waits for it.
_LARGEST_PENDING = 4 << 20
_STOP_S = 2.0
# Of a text that is longer, the beginning is told.
_LONGEST_TEXT = 1024


class AccessLog:
    """Appends lines to a file, which is opened again when it was moved or removed.

    Args:
        path: the file, or a pipe with a name.
        texts: tell the texts that were searched for.
    """

    def __init__(self, path: Path, *, texts: bool = False) -> None:
        self._path, self._texts = path, texts
        self._lines: deque[bytes] = deque()
        # Bytes of lines that were put, and that were taken: each is written by one thread alone.
        self._put = self._taken = 0
        # Within a second all lines begin alike.
        self._second, self._shown = -1, ""
        self._file: int | None = None
        self._complaint = ""
        self._lost = self._unwritten = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written: too many at once, or the disk was full."""
        return self._lost + self._unwritten

    def add(self, record: Record, served: str = "") -> None:
        """Tell of a request that has ended, and which deployment answered, where there are several."""
        told = self._told(record)
        line = json.dumps({**told, "served": served} if served else told).encode("ascii") + b"\n"
        if self._put - self._taken + len(line) > _LARGEST_PENDING:
            self._lost += 1
            return
        self._put += len(line)
        self._lines.append(line)

    def close(self) -> None:
        """Write what is left."""
        self._stopped.set()
        self._thread.join(_STOP_S)

    def _told(self, record: Record) -> dict[str, object]:
        second, rest_ns = divmod(record.at_ns, 10**9)
        if second != self._second:
            self._second, self._shown = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        told: dict[str, object] = {
            "time": f"{self._shown}.{rest_ns // 1000:06d}Z",
            "caller": record.caller,
            "method": record.method,
            "model": record.model,
            "code": record.code.name,
            **({"cause": record.cause} if record.cause else {}),
            "total_s": round(record.ended - record.began, 6),
            **{f"{name}_s": round(until - since, 6) for name, since, until in record.stages},
            "bytes_in": record.received,
            "bytes_out": record.sent,
        }
        if record.texts:
            told["rows"] = len(record.texts)
        if record.batch_rows:
            told["batch_rows"] = record.batch_rows
        if record.trace_id:
            told["trace_id"] = record.trace_id
        if self._texts and record.texts:
            told["texts"] = [text[:_LONGEST_TEXT] for text in record.texts]
        return told

    def _write(self) -> None:
        while not self._stopped.wait(_FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        data = memoryview(b"".join(lines))
        self._taken += len(data)
        try:
            file = self._opened()
            while data:
                data = data[os.write(file, data) :]
            self._complaint = ""
        except OSError as error:
            self._unwritten += bytes(data).count(b"\n")
            if error.strerror != self._complaint:
                self._complaint = error.strerror or ""
                _LOG.warning("the access log %s can't be written: %s", self._path, error.strerror)

    def _opened(self) -> int:
        """The file of that name as it is now."""
        if self._file is not None:
            try:
                there = os.path.samestat(os.fstat(self._file), self._path.stat())
            except FileNotFoundError:
                there = False
            if there:
                return self._file
            os.close(self._file)
            self._file = None
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file
