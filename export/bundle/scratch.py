"""Temporary folders that vanish with the process that made them, or when the next one comes by."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What tempfile puts behind a prefix.
_RANDOM = 8


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``parent`` whose name begins with ``prefix``, removed after the block if it is still there.

    A lock of the kernel's says that its process lives, however that ends; folders of the same prefix and user whose
    processes are dead are removed first. So ``prefix`` has to be one that nobody gives a folder by hand.
    """
    sweep(parent, prefix)
    handle = None
    while handle is None:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # A sweep that comes between the two calls removes the folder as one that nobody holds.
        handle = _taken(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(parent: Path, prefix: str) -> list[Path]:
    """Remove the folders of ``prefix`` in ``parent`` that dead processes of this user left; returns them."""
    swept = []
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and len(entry.name) == len(prefix) + _RANDOM and _own(entry):
                handle = _taken(Path(entry.path))
                if handle is not None:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    os.close(handle)
                    swept.append(Path(entry.path))
    return swept


def _own(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False


def _taken(folder: Path) -> int | None:
    """The lock on a folder, until the file descriptor returned is closed; None if another process has it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:
            return handle
    except OSError:
        pass
    os.close(handle)
    return None
