"""What others can reach and read: sockets, files, shared memory, command lines, the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from framesift.errors import ServerStartError
from framesift.serving.serve import running
from framesift.serving.server.door import Reach

from .table import Row
from .target import Target

_LISTENING = "0A"
_TABLES = ("tcp", "tcp6", "udp", "udp6")
_OTHERS_READ, _OTHERS_ENTER = 0o004, 0o001


def attack(target: Target) -> list[Row]:
    """Look at a run from outside, best after other attacks."""
    return [_listens(target), _abstract(target), _refuses(target), _private(target), _silent(target)]


def _listens(target: Target) -> Row:
    row = Row("the run listens on 127.0.0.1 alone, at one port: there is no admin interface")
    found = [place for pid in _pids(target) for place in _ports(pid)]
    row.worst = ", ".join(sorted(set(found)))
    for place in found:
        row.see(place == f"tcp {target.server.address}", f"{place} listens")
    row.see(f"tcp {target.server.address}" in found, "the door does not listen")
    return row


def _ports(pid: int) -> Iterator[str]:
    """What a process listens on, as "tcp 127.0.0.1:8001"."""
    held = _sockets(pid)
    for table in _TABLES:
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in held and (table.startswith("udp") or words[3] == _LISTENING):
                host, port = words[1].split(":")
                shown = ".".join(str(byte) for byte in reversed(bytes.fromhex(host))) if len(host) == 8 else host
                yield f"{table} {shown}:{int(port, 16)}"


def _abstract(target: Target) -> Row:
    row = Row("the run has no socket that is not a file in a private folder")
    for pid in _pids(target):
        held = _sockets(pid)
        for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
            words = line.split(maxsplit=7)
            if words[6] in held and len(words) > 7:
                row.see(not words[7].startswith("@") and not _open_to_others(Path(words[7])), f"{words[7]} of {pid}")
    return row


def _sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = os.readlink(path)
        except OSError:
            continue
        if link.startswith("socket:["):
            found.add(link[8:-1])
    return found


def _refuses(target: Target) -> Row:
    row = Row("nothing listens beyond this machine without tokens and TLS, or --insecure")
    for host in ("0.0.0.0", "0", "10.0.0.1", "::", "not a host"):
        for reach in (Reach(host), Reach(host, tokens=target.folder / "tokens")):
            try:
                with running(target.bundle, target.folder / "gallery", reach) as server:
                    row.see(False, f"{host} listens on {server.address}")
            except ServerStartError:
                row.see(True, "")
    return row


def _private(target: Target) -> Row:
    row = Row("other users can neither enter the run's folder nor read its shared memory, key or tokens")
    root = target.server.log_path.parent
    memory = [path for path in Path("/dev/shm").glob(f"{target.server.shared_memory_prefix}*") if path.exists()]
    for path in (*root.rglob("*"), *memory, root.parent):
        if not path.is_symlink():
            row.see(not _open_to_others(path), f"{path} is open to others")
    return row


def _open_to_others(path: Path) -> bool:
    """Whether every folder above lets others in, and the file itself lets them read it."""
    try:
        if any(not parent.stat().st_mode & _OTHERS_ENTER for parent in path.parents):
            return False
        return bool(path.stat().st_mode & (_OTHERS_ENTER if path.is_dir() else _OTHERS_READ))
    except FileNotFoundError:
        return False


def _silent(target: Target) -> Row:
    row = Row("no token stands in the log, in a file of the run or in a command line")
    root = target.server.log_path.parent
    texts = {}
    for path in (*root.iterdir(), *Path("/proc").glob("[0-9]*/cmdline")):
        # Of what is no file, such as a pipe, there is no end.
        if not path.is_file():
            continue
        try:
            texts[str(path)] = path.read_bytes()
        except OSError:
            continue
    for name, text in texts.items():
        row.see(not any(token.encode() in text for token in target.tokens.values()), f"one stands in {name}")
    return row


def _pids(target: Target) -> list[int]:
    """The run's processes, the keeper among them."""
    pids = [pid for some in target.processes().values() for pid in some]
    keeper = int(Path(f"/proc/{target.server.door_pid}/stat").read_text().rpartition(")")[2].split()[1])
    return [*pids, keeper]
