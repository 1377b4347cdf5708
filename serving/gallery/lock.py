"""One writer at a time, over all processes of a machine."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...export.bundle.errors import GalleryError

_POLL_S = 0.005


@contextmanager
def exclusive(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file ``path``, created when absent, while the block runs; wait up to ``wait_s`` seconds for it.

    The lock is the kernel's (``flock``): it ends with the process that holds it, however that process ends, and also
    keeps threads of one process apart.

    Raises:
        GalleryError: the file can't be opened, or the lock was not free in time.
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
                raise GalleryError(f"another writer has held {path} for {wait_s:g} s: wait for it or stop it")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
