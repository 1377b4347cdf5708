"""Processor seconds of processes whose parents never wait for them, which the kernel then tells nobody."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PROCESSES = Path("/proc")
# In /proc/PID/stat, after the name: the parent; utime, stime and, of those waited for, cutime and cstime; the start.
_PARENT, _TIMES, _BEGAN = 1, slice(11, 15), 19


@dataclass(frozen=True)
class _Seen:
    """A process as it was.

    Attributes:
        began: when it did, which tells it from another of its number.
        seconds: of processors, its own and those of processes that it waited for.
        unwaited: whether its parent ignores that it ends.
    """

    began: int
    seconds: float
    unwaited: bool


class Unwaited(threading.Thread):
    """Looks at this process' descendants while it runs. What one takes after the last look at it is missed."""

    def __init__(self, each_s: float = 0.2) -> None:
        super().__init__(daemon=True)
        self._each_s = each_s
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._seen: dict[int, _Seen] = {}
        self._seconds = 0.0

    def run(self) -> None:
        """Look, until ``end``."""
        while not self._ended.wait(self._each_s):
            with self._lock:
                found = _descendants()
                for pid, before in self._seen.items():
                    if pid not in found or found[pid].began != before.began:
                        self._count(before)
                self._seen = found

    def waited(self, pid: int) -> None:
        """Take note that this process has waited for another, whoever's child that was before."""
        with self._lock:
            self._seen.pop(pid, None)

    def end(self) -> float:
        """Seconds of all that nobody waited for, once no descendant is left."""
        self._ended.set()
        self.join()
        for left in self._seen.values():
            self._count(left)
        return self._seconds

    def _count(self, ended: _Seen) -> None:
        if ended.unwaited:
            self._seconds += ended.seconds


def _descendants() -> dict[int, _Seen]:
    """Those of this process, by number."""
    children: dict[int, list[tuple[int, list[str]]]] = {}
    for name in filter(str.isdigit, os.listdir(_PROCESSES)):
        if fields := _read(name, "stat").rpartition(")")[2].split():
            children.setdefault(int(fields[_PARENT]), []).append((int(name), fields))
    found, parents = dict[int, _Seen](), [os.getpid()]
    while parents:
        parent = parents.pop()
        if parent not in children:
            continue
        ignores = _ignores_children(parent)
        for pid, fields in children[parent]:
            ticks = sum(map(int, fields[_TIMES]))
            found[pid] = _Seen(int(fields[_BEGAN]), ticks * _TICK_S, ignores)
            parents.append(pid)
    return found


def _ignores_children(pid: int) -> bool:
    lines = dict(line.split(":", 1) for line in _read(str(pid), "status").splitlines())
    return bool(int(lines.get("SigIgn", "0"), 16) >> (signal.SIGCHLD - 1) & 1)


def _read(pid: str, name: str) -> str:
    """What the kernel says of a process, nothing of one that has ended."""
    try:
        return (_PROCESSES / pid / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
