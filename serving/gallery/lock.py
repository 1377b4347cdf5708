"""One writer at a time: a lease that the kernel ends with its holder, and that says who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ...export.bundle.errors import GalleryError

_POLL_S = 0.005
# A holder of another machine, whose locks this one may not see, has let go by then.
TERM_S = 120.0
_LONGEST = 4096
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: the machine, the process, what it runs, and from when until when, in seconds of the epoch."""

    host: str
    pid: int
    command: str
    since: float
    until: float

    @staticmethod
    def me() -> Holder:
        """This process, from now on."""
        now = time.time()
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])[:200]
        return Holder(socket.gethostname(), os.getpid(), command, now, now + TERM_S)

    def __str__(self) -> str:
        held = max(0.0, time.time() - self.since)
        return f"process {self.pid} on {self.host} ({self.command!a}), for {held:.0f} s"


@contextmanager
def exclusive(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lease in the file ``path``, created when absent, while the block runs; wait up to ``wait_s`` seconds.

    The kernel's lock on the file (``flock``) ends with the process that holds it, however that process ends, and also
    keeps threads of one process apart. A file system that several machines share may not pass it on: there the holder
    that the file names counts until its term ends. What a dead holder left is taken over.

    Raises:
        GalleryError: the file can't be opened, or the lease was not free in time; the message says who holds it.
    """
    try:
        # A link could name any file of this user's, to be opened for writing.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise GalleryError(f"the gallery can't be locked: {path} is a link, remove it") from error
        raise GalleryError(f"the gallery can't be locked: {error}") from error
    try:
        deadline = time.monotonic() + wait_s
        while not _taken(handle):
            if time.monotonic() > deadline:
                holder = _holder(handle)
                raise GalleryError(
                    f"another writer has held {path} for {wait_s:g} s: {holder or 'it has not said who it is'}. "
                    "Wait for it or stop it"
                )
            time.sleep(_POLL_S)
        _note(handle, Holder.me())
        try:
            yield
        finally:
            _note(handle, None)
    finally:
        os.close(handle)


def writer(path: Path) -> str:
    """Who holds the lease in a file now; empty where nobody does."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            holder = _holder(handle)
            return "" if holder is None else str(holder)
        finally:
            os.close(handle)
    return ""


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    left = _holder(handle)
    if left is None:
        return True
    if left.host != socket.gethostname() and left.until > time.time():
        fcntl.flock(handle, fcntl.LOCK_UN)
        return False
    _log.info("took over from a writer that did not let go: %s", left)
    return True


def _holder(handle: int) -> Holder | None:
    """Who holds the lease, or held it last without letting go."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        told = json.loads(os.pread(handle, _LONGEST, 0))
        return Holder(
            str(told["host"]), int(told["pid"]), str(told["command"]), float(told["since"]), float(told["until"])
        )
    return None


def _note(handle: int, holder: Holder | None) -> None:
    """Say who holds the lease. A full disk can't hinder the kernel's lock, so it does not count."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        if holder is not None:
            os.pwrite(handle, json.dumps(asdict(holder)).encode(), 0)
