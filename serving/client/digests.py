"""SHA-256 of files, remembered between runs: reading an archive again takes hours, looking at its times a second.

A digest is taken from memory only while the file has the size, inode and times that it had when it was read. The time
of the last change of state (ctime) is among them, which no program can set: a file that was written and given its old
times back is read again. A file that changed less than two seconds before it was read is not remembered, because
another change in the same tick of the clock would not show.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from ...export.bundle.errors import InvalidVideo

_SETTLED_NS = 2 * 10**9
_WAIT_S = 2.0
_TABLE = """CREATE TABLE IF NOT EXISTS digests (
    path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, inode TEXT, digest BLOB
) WITHOUT ROWID"""


@dataclass(frozen=True)
class Stamp:
    """A file's state: it is equal as long as nobody writes to the file; ``settled`` is left out of that."""

    size: int
    modified: int
    changed: int
    inode: str
    settled: bool = field(compare=False)

    @staticmethod
    def of(path: Path) -> Stamp | None:
        """The present one; None for what is no file or can't be asked."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        settled = max(found.st_ctime_ns, found.st_mtime_ns) < time.time_ns() - _SETTLED_NS
        return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, str(found.st_ino), settled)

    @property
    def key(self) -> tuple[int, int, int, str]:
        """What must be the same."""
        return self.size, self.modified, self.changed, self.inode


class Digests:
    """Remembers digests in a file of the user's cache; without a folder, and where it can't be used, nothing.

    Use it from one thread, and ``close`` it in the end.
    """

    def __init__(self, folder: Path | None) -> None:
        self._table: sqlite3.Connection | None = None
        if folder is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._table = sqlite3.connect(folder / "digests.sqlite", timeout=_WAIT_S)
                self._table.execute(_TABLE)

    @staticmethod
    def folder() -> Path:
        """``$XDG_CACHE_HOME/framesift``, ``~/.cache/framesift`` by default."""
        named = os.environ.get("XDG_CACHE_HOME", "")
        return Path(named if os.path.isabs(named) else Path.home() / ".cache", "framesift")

    def get(self, path: Path, stamp: Stamp) -> bytes | None:
        """The digest of a file in that state, if it is remembered."""
        if self._table is None:
            return None
        asked = "SELECT digest FROM digests WHERE path = ? AND (size, modified, changed, inode) = (?, ?, ?, ?)"
        try:
            row = self._table.execute(asked, (_name(path), *stamp.key)).fetchone()
        except sqlite3.Error:
            return None
        return None if row is None else bytes(row[0])

    def put(self, path: Path, stamp: Stamp, digest: bytes) -> None:
        """Remember the digest of a file that was in that state before and after it was read."""
        if self._table is None or not stamp.settled:
            return
        row = (_name(path), *stamp.key, digest)
        with contextlib.suppress(sqlite3.Error):
            self._table.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Keep what was put."""
        if self._table is not None:
            with contextlib.suppress(sqlite3.Error):
                self._table.commit()
            self._table.close()
            self._table = None


def digest_of(path: Path) -> bytes:
    """The SHA-256 of a file.

    Raises:
        InvalidVideo: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise InvalidVideo(f"{path} can't be read: {error.strerror}") from error


def _name(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))
