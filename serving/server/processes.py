"""Processes of this machine, as /proc shows them. Needs the standard library alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STUB = b"triton_python_backend_stub"
_SERVERS = (b"tritonserver", b"envoy")


@dataclass(frozen=True)
class ModelProcess:
    """A process in which the server runs one instance of a model; ``file`` lies in its version's folder."""

    pid: int
    file: Path

    @property
    def model(self) -> str:
        """The model's name."""
        return self.file.parent.parent.name

    @property
    def version(self) -> str:
        """The model's version, a number."""
        return self.file.parent.name


def arguments(pid: int) -> list[bytes]:
    """The command line of a process; empty if it has ended, even where its parent has not collected it yet."""
    try:
        found = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return found.split(b"\0")[:-1]


def model_processes(server: int) -> list[ModelProcess]:
    """The model processes of the server with this process id that have not ended."""
    found = []
    for pid in _children(server):
        words = arguments(pid)
        if len(words) > 1 and words[0].endswith(_STUB):
            found.append(ModelProcess(pid, Path(os.fsdecode(words[1]))))
    return found


def server_processes(mark: bytes) -> list[int]:
    """The servers, doors and model processes that have ``mark`` in their command line."""
    return [
        pid
        for pid in _all()
        if (words := arguments(pid)) and words[0].endswith((_STUB, *_SERVERS)) and any(mark in word for word in words)
    ]


def _all() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _children(parent: int) -> list[int]:
    """Every thread has children of its own; a kernel that does not list them is asked for each process' parent."""
    tasks = Path(f"/proc/{parent}/task")
    lists = [path / "children" for path in tasks.iterdir()] if tasks.is_dir() else []
    if lists and not lists[0].exists():
        return [pid for pid in _all() if _parent(pid) == parent]
    found: list[int] = []
    for path in lists:
        with contextlib.suppress(OSError):
            found.extend(int(pid) for pid in path.read_text().split())
    return found


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        # The name in the second field may hold blanks and brackets, so what counts stands after its last bracket.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None
