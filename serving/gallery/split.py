"""One gallery into several by the hash of the id, or several into another number of them.

Rows keep their numbers, and so the order in which they were indexed. What a split has to do follows from comparing
numbers: one that was stopped goes on where it is run again, and one that is run again brings what came meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import ID
from .addresses import local_folder
from .checksums import CHECKSUMS
from .failures import gallery_failures
from .merging import sealed_rows
from .reader import Reader
from .schema import SEQUENCE, GallerySchema
from .shard import Shard, part_of
from .shards import check_count, is_split, made_shard, read_note, shards_of, write_note
from .store import Gallery
from .table import chunks
from .verify import verify

Numbers = npt.NDArray[np.int64]
Told = Callable[[int], object]

# Bytes of rows that wait for the commits of all shards.
_HELD = 512 << 20
_FEWEST = 64
_NUMBERS_PER_FILTER = 4096


@dataclass(frozen=True)
class Divided:
    """What became of a split: videos of every shard, and how many records were copied and removed this time."""

    counts: Sequence[int]
    copied: int
    removed: int


def sources_of(folder: Path) -> list[Gallery]:
    """The gallery in a folder, or all its shards.

    Raises:
        GalleryError: there is none, or not all shards are there.
    """
    return shards_of(folder) if is_split(folder) else [Gallery.existing(folder)]


def divide(sources: Sequence[Gallery], out: Path, count: int, told: Told) -> Divided:
    """Have ``count`` shards in ``out`` hold what ``sources`` hold together at this moment, compared value by value.

    Args:
        told: called with numbers of records that were looked through: each once for copying and once for comparing.

    Raises:
        GalleryError: shards that were written since they were split, or are of another number; or data that have
            changed on disk.
    """
    out, schema = local_folder(out), sources[0].schema
    if out.resolve() in {
        place for source in sources for place in (source.root.resolve(), source.root.resolve().parent)
    }:
        raise GalleryError(f"{out} holds the gallery that is to be split: name a new folder")
    shards = _targets(out, schema, count)
    removed = copied = 0
    with ExitStack() as stack:
        readers = [source.reader() for source in sources]
        for reader in readers:
            stack.enter_context(reader.pinned())
        newest = max(reader.version for reader in readers)
        wanted = _wanted(readers, count)
        had = [np.sort(shard.reader().sequences()) for shard in shards]
        for shard, own, there in zip(shards, wanted, had, strict=True):
            shard.least = newest
            removed += _remove(shard, np.setdiff1d(there, own))
        for place, block in _missing(readers, schema, had, told):
            with shards[place].writing() as handle:
                handle.insert(chunks(block), mode="append")
            copied += block.num_rows
        for number, (shard, own) in enumerate(zip(shards, wanted, strict=True)):
            _compare(shard, own, Shard(number, count), told)
    for shard in shards:
        shard.compact()
        shard.close()
    write_note(out, shards)
    return Divided([shard.count for shard in shards], copied, removed)


def _targets(out: Path, schema: GallerySchema, count: int) -> list[Gallery]:
    """The shards' galleries, made where they are not there."""
    noted = read_note(out) if is_split(out) else None
    if noted is not None and noted.shards != count:
        raise GalleryError(f"{out} has {noted.shards} shards, not {count}: name a new folder")
    shards = [made_shard(out, schema, Shard(number, check_count(count))) for number in range(count)]
    if noted is not None and [shard.version for shard in shards] != noted.versions:
        raise GalleryError(
            f"the shards in {out} were written since they were split, and would lose that: name a new folder"
        )
    return shards


def _wanted(readers: Sequence[Reader], count: int) -> list[Numbers]:
    """The numbers of the rows of every shard, ascending."""
    found: list[list[int]] = [[] for _ in range(count)]
    for reader in readers:
        for batch in reader.scan([ID, SEQUENCE]):
            pairs = zip(batch.column(ID).to_pylist(), batch.column(SEQUENCE).to_pylist(), strict=True)
            for id_, number in pairs:
                found[part_of(id_, count)].append(number)
    return [np.sort(np.array(numbers, np.int64)) for numbers in found]


def _remove(shard: Gallery, numbers: Numbers) -> int:
    """Remove rows by their numbers."""
    for start in range(0, len(numbers), _NUMBERS_PER_FILTER):
        part = ", ".join(map(str, numbers[start : start + _NUMBERS_PER_FILTER].tolist()))
        with shard.writing() as handle:
            handle.delete(f"{SEQUENCE} IN ({part})")
    return len(numbers)


def _missing(
    readers: Sequence[Reader], schema: GallerySchema, had: Sequence[Numbers], told: Told
) -> Iterator[tuple[int, pa.Table]]:
    """The rows that a shard has not, with the shard, as many together as are committed at once."""
    arrow, count = schema.arrow(), len(had)
    columns = [name for name in arrow.names if name not in (ID, SEQUENCE, CHECKSUMS)]
    most = max(_FEWEST, min(sealed_rows(schema.row_bytes), _HELD // (schema.row_bytes * count)))
    held: list[list[pa.RecordBatch]] = [[] for _ in range(count)]
    for reader in readers:
        for batch in reader.batches(columns):
            told(batch.num_rows)
            parts = np.array([part_of(id_, count) for id_ in batch.column(ID).to_pylist()])
            numbers = np.asarray(batch.column(SEQUENCE).to_numpy())
            for shard in np.unique(parts).tolist():
                rows = np.flatnonzero((parts == shard) & ~np.isin(numbers, had[shard]))
                if len(rows):
                    held[shard].append(batch.select(arrow.names).take(pa.array(rows)))
                if sum(each.num_rows for each in held[shard]) >= most:
                    yield shard, _table(held[shard], arrow)
                    held[shard] = []
    yield from ((shard, _table(batches, arrow)) for shard, batches in enumerate(held) if batches)


def _table(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    with gallery_failures("splitting the gallery"):
        return pa.Table.from_batches(batches).cast(schema)


def _compare(shard: Gallery, wanted: Numbers, part: Shard, told: Told) -> None:
    """Read a shard's every value.

    Raises:
        GalleryError: something differs.
    """
    reader = shard.reader()
    if faults := verify(reader, told):
        raise GalleryError(f"{shard.root} is not as it was written: {faults[0].what} of {faults[0].id!a:.100}")
    if not np.array_equal(np.sort(reader.sequences()), wanted):
        raise GalleryError(f"{shard.root} does not hold the videos of shard {part}: was it written meanwhile?")
