"""The Lance table in a gallery's folder: how it is made, opened and told apart."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import ID
from .row_addresses import Numbers, by_fragment, fragments_of
from .shard import told_of_shards

TABLE = "videos.lance"
INDEX = "id_idx"
# Rows of a piece in which they are written.
PIECE = 512
_LONGEST_READING = timedelta(hours=6)
# Begins the names of the tags that keep versions from being dropped; how often dropping is tried beside those that end.
_PIN, _TRIES = "reading-", 5
# What Lance remembers of every version of a table would fill a gigabyte. The index's pages are worth keeping.
_METADATA_CACHE, _INDEX_CACHE = 4 << 20, 32 << 20


@dataclass(frozen=True)
class Part:
    """A fragment of the table. Equal parts hold the same rows.

    Attributes:
        number: never used again.
        file: its data, a name that is never used again either.
        rows: written, removed ones among them.
        live: those that are left.
        removals: which list of removed rows it has, empty without one.
    """

    number: int
    file: str
    rows: int
    live: int
    removals: str


def create_table(root: Path, schema: pa.Schema) -> None:
    """Make an empty table in the folder ``root``.

    Raises:
        GalleryError: it holds a gallery in shards.
    """
    if told := told_of_shards(root):
        raise GalleryError(f"there is no gallery in {root}{told}, or serve all of them with --cluster")
    _lance().write_dataset(schema.empty_table(), str(root / TABLE), schema=schema, mode="create", session=_session())


def open_table(root: Path) -> Any:
    """The table, as Lance's dataset, at its latest version."""
    return dataset(root / TABLE)


def dataset(path: Path) -> Any:
    """Any Lance table."""
    return _lance().dataset(str(path), session=_session())


def chunks(rows: pa.Table) -> pa.RecordBatchReader:
    """Rows in pieces: a page of a file is as large as the piece that it came in, and readers hold whole pages."""
    return pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=PIECE))


def write_table(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch], rows: int) -> None:
    """Make a table of these batches, in fragments of so many rows."""
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    _lance().write_dataset(reader, str(path), schema=schema, mode="create", max_rows_per_file=rows)


def replace_rows(table: Any, added: pa.Table, old: Numbers) -> None:
    """Commit rows in the place of those at the addresses ``old``: one version has these and the next the others.

    Lance's own merge takes one row for one, and looks for each again: it takes five times as long.
    """
    lance = _lance()
    updated, removed = [], []
    for number, _, rows in by_fragment(np.unique(fragments_of(old)).tolist(), old, old):
        left = table.get_fragment(number).delete_rows(rows.tolist())
        if left is None:
            removed.append(number)
        else:
            updated.append(left)
    fresh = lance.fragment.write_fragments(chunks(added), table, schema=table.schema, mode="append")
    change = lance.LanceOperation.Update(removed_fragment_ids=removed, updated_fragments=updated, new_fragments=fresh)
    lance.LanceDataset.commit(table, change, read_version=int(table.version))
    table.checkout_latest()


def has_table(root: Path) -> bool:
    """Whether there is one; a process that died while creating it leaves empty folders behind."""
    return any((root / TABLE).glob("*/*.*"))


def index_ids(table: Any) -> None:
    """Give the table its index on ids, where it has none."""
    if not table.describe_indices():
        table.create_scalar_index(ID, "BTREE", name=INDEX)


@contextmanager
def pinned(table: Any) -> Iterator[None]:
    """Keep the version of ``table`` from being dropped while the block runs: for those who read all of it.

    A folder that can't be written to has no writer who could drop one.
    """
    name = f"{_PIN}{os.getpid()}-{time.time_ns()}"
    try:
        table.tags.create(name, int(table.version))
    except OSError:
        name = ""
    try:
        yield
    finally:
        if name:
            table.tags.delete(name)


def drop_versions(table: Any, older_than: timedelta, *, unknown: bool) -> None:
    """Drop old versions that nobody reads, and with ``unknown`` also files of no version."""
    for left in reversed(range(_TRIES)):
        try:
            _drop_versions(table, older_than, unknown)
            return
        except (OSError, ValueError) as error:
            # A reader has ended between Lance's listing of its pin and the reading of that.
            if not left or _PIN not in str(error):
                raise


def _drop_versions(table: Any, older_than: timedelta, unknown: bool) -> None:
    now = datetime.now(UTC)
    for name, told in table.tags.list().items():
        # Its reader was killed.
        if now - told["created_at"] > _LONGEST_READING:
            table.tags.delete(name)
    table.cleanup_old_versions(older_than=older_than, delete_unverified=unknown, error_if_tagged_old_versions=False)


def drop_files(table: Any, fragments: Sequence[Any]) -> None:
    """Remove the data of fragments that never became part of the table."""
    for fragment in fragments:
        for held in fragment.files:
            (Path(table.uri) / "data" / held.path).unlink(missing_ok=True)


def parts(table: Any) -> dict[int, Part]:
    """The table's fragments by number, in their order."""
    return {fragment.fragment_id: _part(fragment.metadata) for fragment in table.get_fragments()}


def _part(held: Any) -> Part:
    removed = held.deletion_file
    name = "" if removed is None else f"{removed.read_version}-{removed.id}"
    gone = 0 if removed is None else int(removed.num_deleted_rows)
    return Part(held.id, held.files[0].path, held.physical_rows, held.physical_rows - gone, name)


@cache
def _lance() -> Any:
    # Read when the module is imported. What fails raises besides, and merges that give way to writers are no news.
    os.environ.setdefault("LANCE_LOG", "error")
    import lance

    # Arrow's own allocator grows by huge pages and gives none of them back.
    pa.set_memory_pool(pa.system_memory_pool())
    return lance


@cache
def _session() -> Any:
    return _lance().Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
