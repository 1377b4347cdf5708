"""The gallery: the durable store of video records, a Lance table in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from ...export.bundle.errors import GalleryError, GalleryMismatch
from ...export.bundle.manifest import Manifest
from .addresses import local_folder
from .blocks import Block
from .compaction import Compaction
from .fact import Fact
from .failures import gallery_failures
from .known import Known
from .lock import exclusive
from .merging import index_further
from .numbering import raise_to, version_of
from .reader import Found, Reader, among
from .rows import GalleryEntry, Row
from .schema import GallerySchema
from .segments import Segments, films
from .shard import told_of_shards
from .table import create_table, has_table, index_ids, open_table
from .writing import put

LOCK_WAIT_S = 60.0
# Files beside the table: the writers' lease, the lease of merges, and what searches map.
LOCK = ".lock"
_MERGING = ".merging"
CACHE = ".cache"


@dataclass(frozen=True)
class Commit:
    """One acknowledged change: the gallery's version and size after it."""

    version: int
    count: int


@dataclass(frozen=True)
class Brought:
    """What became of a block: videos that were added or replaced, that were there, and the ids with other digests."""

    added: int
    same: int
    other: Sequence[str]


class Gallery:
    """Videos by id. One change is one atomic commit; a change that has returned survives the process.

    Threads and processes of one machine may share it: writers wait for one another by a lock file, readers never wait.
    It is durable against the death of a process; like most files, not against a loss of power in the next seconds.
    """

    # Of a shard: the version of others that its next commit goes beyond.
    least = 0

    def __init__(self, root: Path, schema: GallerySchema, retain: timedelta | None = None) -> None:
        self.root = root
        self.schema = schema
        with gallery_failures(f"opening the gallery in {root}"):
            self._table = open_table(root)
            self._reader, self._writer = self.reader(), Reader(self._table, schema)
        self._reading, self._known = threading.Lock(), Known()
        self._compaction = Compaction(
            partial(open_table, root),
            schema.row_bytes,
            retain,
            lock=partial(exclusive, root / LOCK, LOCK_WAIT_S),
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
        root = local_folder(path)
        if not create and not has_table(root):
            raise GalleryError(f"the gallery's files in {root} are gone: stop the server and put them back")
        return Gallery.made(root, GallerySchema.of(manifest))

    @staticmethod
    def made(path: str | os.PathLike[str], wanted: GallerySchema) -> Gallery:
        """Open the gallery of a model in the folder ``path``, or make it.

        Raises:
            GalleryMismatch, GalleryError: as for ``open``.
        """
        root = local_folder(path)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GalleryError(f"the gallery's folder {root} can't be made: {error}") from error
        with exclusive(root / LOCK, LOCK_WAIT_S):
            if not has_table(root):
                with gallery_failures(f"creating the gallery in {root}"):
                    create_table(root, wanted.arrow())
                    index_ids(open_table(root))
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
    def existing(path: str | os.PathLike[str], retain: timedelta | None = None) -> Gallery:
        """Open a gallery that is there, whatever model wrote it.

        Args:
            retain: how long versions that changes leave behind are kept, if not as long as is usual.

        Raises:
            GalleryError: there is none, or it is damaged or of another format.
        """
        root = local_folder(path)
        if not has_table(root):
            raise GalleryError(f"there is no gallery in {root}{told_of_shards(root)}")
        with gallery_failures(f"opening the gallery in {root}"):
            return Gallery(root, GallerySchema.read(open_table(root).schema), retain)

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

        The segments of a film come one after another, all of them; they take the place of whatever its id had.

        Raises:
            InvalidRequest: a film that is not whole.
            GalleryError: nothing was written.
        """
        places = films((row.entry.id for row in rows), (row.entry.segment[:2] for row in rows))
        kept = [rows[place] for film in places.values() for place in film]
        with self.writing() as handle:
            if kept:
                put(handle, Block.of(kept), list(places), self.schema)
            return self.commit(handle)

    def bring(self, block: Block, *, replace: bool) -> Brought:
        """Keep checked videos in one commit, but for those that are there with the same digest.

        Of two with the same id the last is kept; films are whole, see ``write``.

        Args:
            replace: put others in the place of those that are there with another digest; without, nothing of the block
                is kept where there are such.

        Raises:
            InvalidRequest: a film that is not whole.
            GalleryError: nothing was written.
        """
        told = block.segments or Segments.whole(block.durations)
        places = films(block.ids, zip(told.numbers.tolist(), told.counts.tolist(), strict=True))
        with self.writing() as handle:
            there = Reader(handle, self.schema).digests(list(places))
            brought = {id_: block.content(rows[0]) for id_, rows in places.items()}
            other = [id_ for id_, digest in brought.items() if there.get(id_) not in (None, digest)]
            wanted = [id_ for id_, digest in brought.items() if there.get(id_) != digest]
            if wanted and (replace or not other):
                rows = [row for id_ in wanted for row in places[id_]]
                kept = block if rows == list(range(len(block.ids))) else block.take(rows)
                put(handle, kept, wanted if other else (), self.schema)
            else:
                wanted = []
        return Brought(len(wanted), sum(there.get(id_) == digest for id_, digest in brought.items()), other)

    def remove(self, ids: Sequence[str]) -> Commit:
        """Remove videos; unknown ids are ignored.

        Raises:
            GalleryError: nothing was removed.
        """
        with self.writing() as handle:
            if ids:
                handle.delete(among(ids))
            return self.commit(handle)

    def lookup(self, ids: Sequence[str]) -> Found:
        """Which of ``ids`` are there, with the digests of their files and of how they are cut."""
        with self._reading:
            version = self._reader.advance()
            return Found(self._known.find(self._reader, ids), self._reader.count, version)

    def describe(self, ids: Sequence[str]) -> dict[str, Fact]:
        """What is known of those ``ids`` that are there."""
        with self._reading:
            self._reader.advance()
            return self._reader.describe(ids)

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
            return Reader(open_table(self.root), self.schema)

    def compact(self) -> None:
        """Merge all small files now, have the index cover all rows, and drop old versions.

        Raises:
            GalleryError: it failed, or another process is at it; the videos are there as before.
        """
        with gallery_failures(f"compacting the gallery in {self.root}"):
            self._compaction.run(all_files=True, alone=partial(exclusive, self.root / _MERGING, LOCK_WAIT_S))

    def index(self) -> None:
        """Have the index on ids cover all rows.

        Raises:
            GalleryError: it failed; ids are found all the same.
        """
        with gallery_failures(f"indexing the ids in {self.root}"), exclusive(self.root / _MERGING, LOCK_WAIT_S):
            index_further(open_table(self.root))

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
    def writing(self) -> Iterator[Any]:
        """The table, for its one writer: others wait.

        Raises:
            GalleryError: another process held it for too long, or what is done with it fails.
        """
        # The lock also keeps this gallery's own threads from the one handle.
        with (
            exclusive(self.root / LOCK, LOCK_WAIT_S),
            gallery_failures(f"writing to the gallery in {self.root}"),
        ):
            self._table.checkout_latest()
            # A gallery of LanceDB has none, nor one whose maker was killed.
            index_ids(self._table)
            raise_to(self._table, self.least)
            yield self._table
        self._compaction.committed()

    def commit(self, handle: Any) -> Commit:
        """What was written last, for whoever holds the table."""
        return Commit(version_of(handle), self._writer.count)
