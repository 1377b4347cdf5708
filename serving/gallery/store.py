"""The gallery: the durable store of video records, a LanceDB table in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from ...export.bundle.errors import GalleryError, GalleryMismatch
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import ID
from .compaction import Compaction
from .failures import gallery_failures
from .lock import exclusive
from .reader import Found, Reader, among
from .rows import GalleryEntry, Row, table
from .schema import GallerySchema

LOCK_WAIT_S = 60.0
MAX_BATCH = 1 << 20

_TABLE = "videos"
_LOCK = ".lock"
_MERGING = ".merging"
_CACHE = 4 << 20


@dataclass(frozen=True)
class Commit:
    """One acknowledged change: the gallery's version and size after it."""

    version: int
    count: int


class Gallery:
    """Videos by id. One change is one atomic commit; a change that has returned survives the process.

    Threads and processes of one machine may share it: writers wait for one another by a lock file, readers never wait.
    It is durable against the death of a process; like most files, not against a loss of power in the next seconds.
    """

    def __init__(self, root: Path, schema: GallerySchema) -> None:
        self.root = root
        self.schema = schema
        with gallery_failures(f"opening the gallery in {root}"):
            self._table = _open_table(root)
            self._reader = self.reader()
        self._reading = threading.Lock()
        self._compaction = Compaction(
            partial(_open_table, root),
            lock=partial(exclusive, root / _LOCK, LOCK_WAIT_S),
            alone=partial(exclusive, root / _MERGING, 0.0),
        )

    @staticmethod
    def open(path: str | os.PathLike[str], manifest: Manifest, *, create: bool = True) -> Gallery:
        """Open the gallery in the folder ``path`` for the model of ``manifest``.

        Args:
            create: make one when there is none, instead of raising.

        Raises:
            GalleryMismatch: the gallery holds another model's records.
            GalleryError: it is damaged, of another format, not there, or the folder can't be used.
        """
        root = Path(path)
        if not create and not _has_table(root):
            raise GalleryError(f"the gallery's files in {root} are gone: stop the server and put them back")
        wanted = GallerySchema.of(manifest)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GalleryError(f"the gallery's folder {root} can't be made: {error}") from error
        with exclusive(root / _LOCK, LOCK_WAIT_S):
            if not _has_table(root):
                with gallery_failures(f"creating the gallery in {root}"):
                    _connect(root).create_table(_TABLE, schema=wanted.arrow())
        gallery = Gallery.existing(root)
        if gallery.schema != wanted:
            raise GalleryMismatch(
                f"the gallery in {root} was written by the model {gallery.schema.fingerprint} "
                f"({gallery.schema.system}), this model is {wanted.fingerprint} ({wanted.system}), "
                "and their records don't compare: name another folder and index the videos "
                "again, or serve the bundle that wrote this one"
            )
        return gallery

    @staticmethod
    def existing(path: str | os.PathLike[str]) -> Gallery:
        """Open a gallery that is there, whatever model wrote it.

        Raises:
            GalleryError: there is none, or it is damaged or of another format.
        """
        root = Path(path)
        if not _has_table(root):
            raise GalleryError(f"there is no gallery in {root}")
        with gallery_failures(f"opening the gallery in {root}"):
            return Gallery(root, GallerySchema.read(_open_table(root).schema))

    def add(self, entries: Sequence[GalleryEntry]) -> Commit:
        """Check entries and keep them, see ``write``.

        Raises:
            InvalidRequest: an entry that doesn't fit; none is kept then.
            GalleryError: nothing was written.
        """
        return self.write([self.row(entry) for entry in entries])

    def row(self, entry: GalleryEntry) -> Row:
        """An entry, checked and cast as this gallery keeps it.

        Raises:
            InvalidRequest: it doesn't fit.
        """
        return Row.of(entry, self.schema)

    def write(self, rows: Sequence[Row]) -> Commit:
        """Keep rows in one commit, in place of those that have the same id; of two with the same id the last is kept.

        Raises:
            GalleryError: nothing was written.
        """
        kept = list({row.entry.id: row for row in rows}.values())
        if len(kept) > MAX_BATCH:
            raise GalleryError(f"{len(kept)} records in one commit, the limit is {MAX_BATCH}")
        with self._writing() as handle:
            if kept:
                # Lance never uses a version twice, so numbers made from it grow for ever, whatever is removed.
                added = table(kept, self.schema, int(handle.version) * MAX_BATCH)
                handle.merge_insert(ID).when_matched_update_all().when_not_matched_insert_all().execute(added)
            commit = Commit(int(handle.version), int(handle.count_rows()))
        self._compaction.committed(commit.count)
        return commit

    def remove(self, ids: Sequence[str]) -> Commit:
        """Remove videos; unknown ids are ignored.

        Raises:
            GalleryError: nothing was removed.
        """
        with self._writing() as handle:
            if ids:
                handle.delete(among(ids))
            commit = Commit(int(handle.version), int(handle.count_rows()))
        self._compaction.committed(commit.count)
        return commit

    def lookup(self, ids: Sequence[str]) -> Found:
        """Which of ``ids`` are there, with the digests of their files."""
        with self._reading:
            self._reader.advance()
            return self._reader.find(ids)

    @property
    def count(self) -> int:
        """The number of videos."""
        with self._reading:
            self._reader.advance()
            return self._reader.count

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        with self._reading:
            return self._reader.advance()

    def reader(self) -> Reader:
        """A reader of its own, at the latest version."""
        with gallery_failures(f"opening the gallery in {self.root}"):
            return Reader(_open_table(self.root), self.schema)

    def close(self) -> None:
        """Wait for compaction to end, if it is running."""
        self._compaction.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        # The lock also keeps this gallery's own threads from the one handle.
        with (
            exclusive(self.root / _LOCK, LOCK_WAIT_S),
            gallery_failures(f"writing to the gallery in {self.root}"),
        ):
            self._table.checkout_latest()
            yield self._table


@cache
def _session() -> Any:
    import lancedb

    # Arrow's own allocator grows by huge pages and gives none of them back.
    pa.set_memory_pool(pa.system_memory_pool())
    # What LanceDB remembers of every version of the table would fill a gigabyte, 85 kB a commit.
    return lancedb.Session(index_cache_size_bytes=_CACHE, metadata_cache_size_bytes=_CACHE)


def _connect(root: Path) -> Any:
    # LanceDB starts its threads when it is imported, at the priority of the thread that does so: a served model's has
    # been lowered by now.
    import lancedb

    return lancedb.connect(root, session=_session())


def _open_table(root: Path) -> Any:
    return _connect(root).open_table(_TABLE)


def _has_table(root: Path) -> bool:
    # A process that died while creating the table leaves empty folders behind.
    return any((root / f"{_TABLE}.lance").glob("*/*.*"))
