"""Galleries by the million: bringing in records that were made elsewhere, and handing a gallery on."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ...export.bundle.errors import FramesiftError, GalleryError, GalleryMismatch
from ...export.bundle.ports import ID
from .addresses import local_folder
from .ahead import ahead
from .blocks import Block, checked
from .checksums import CHECKSUMS
from .failures import gallery_failures
from .merging import sealed_rows
from .reader import Reader
from .schema import SEQUENCE, GallerySchema
from .sharded import Sharded
from .sources import Records, block_of
from .store import Gallery
from .table import write_table

Told = Callable[[int], object]
# The index on ids covers what was brought in after so many commits, so that looking ids up stays as fast.
_COMMITS_PER_INDEX = 4
_BATCHES_AHEAD = 2
_PIECE = 64
_SHOWN = 3


@dataclass(frozen=True)
class Imported:
    """Videos that were added or replaced, and those that were there already."""

    added: int
    same: int


def bring_in(gallery: Gallery | Sharded, records: Records, told: Told, *, replace: bool = False) -> Imported:
    """Import all records, checked as every record is, in commits of a sealed fragment's rows.

    What is there with the same digest is passed over, so an import that was stopped goes on where it is run again.

    Args:
        told: called with numbers of rows that are done.
        replace: put records in the place of those that have the same id and another digest.

    Raises:
        GalleryMismatch: the records are another model's.
        FramesiftError: a record that can't be kept, or one with a digest that differs; what was imported before stays,
            and the message says how much that is.
    """
    made_for = records.made_for()
    if made_for is not None and made_for != gallery.schema:
        raise GalleryMismatch(
            f"{records.path} holds records of the model {made_for.fingerprint} ({made_for.system}), the gallery those "
            f"of {gallery.schema.fingerprint} ({gallery.schema.system}), and they don't compare"
        )
    done = Counter[str]()
    try:
        for number, block in enumerate(ahead(_commits(gallery.schema, records)), start=1):
            brought = gallery.bring(block, replace=replace)
            if brought.other and not replace:
                names = ", ".join(ascii(id_) for id_ in brought.other[:_SHOWN])
                raise GalleryError(
                    f"{len(brought.other)} videos are there with another digest, of which {names}: --replace puts "
                    "these records in their place"
                )
            done.update(added=brought.added, same=brought.same)
            told(len(block.ids))
            if number % _COMMITS_PER_INDEX == 0:
                gallery.index()
    except FramesiftError as error:
        raise type(error)(f"{error}. {sum(done.values())} records before it are in; run it again to go on") from error
    gallery.index()
    return Imported(done["added"], done["same"])


def hand_on(readers: Sequence[Reader], out: Path, told: Told) -> int:
    """Write all videos of the versions that are read into the new file or folder ``out``, and return their number.

    It gets a Parquet file, or a Lance table where its name ends in ``.lance``, under its name once it is whole. Shards
    of one gallery follow one another.

    Raises:
        GalleryError: it is there already or can't be written, or a gallery can't be read.
    """
    out = local_folder(out)
    if out.exists() or out.is_symlink():
        raise GalleryError(f"{out} is there already: name a new file")
    if out.suffix not in (".parquet", ".lance"):
        raise GalleryError(f"{out} must end in .parquet or .lance, which says what is written")
    part = out.with_name(f".{out.name}-{os.getpid()}")
    schema, rows = readers[0].schema.arrow(), sealed_rows(readers[0].schema.row_bytes)
    names = [name for name in schema.names if name not in (ID, SEQUENCE, CHECKSUMS)]
    batches = _told((batch for reader in readers for batch in reader.batches(names)), schema, told)
    try:
        with ExitStack() as stack, gallery_failures(f"writing {out}"):
            for reader in readers:
                stack.enter_context(reader.pinned())
            out.parent.mkdir(parents=True, exist_ok=True)
            if out.suffix == ".lance":
                write_table(part, schema, batches, rows)
            else:
                from pyarrow.parquet import ParquetWriter

                with ParquetWriter(part, schema, compression="none", use_dictionary=False) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)
    return sum(reader.count for reader in readers)


def _commits(schema: GallerySchema, records: Records) -> Iterator[Block]:
    """Checked records in blocks of a sealed fragment's rows; films are in one block each."""
    rows = sealed_rows(schema.row_bytes)
    held: list[Block] = []
    count = 0
    for batch in ahead(records.batches(schema), _BATCHES_AHEAD):
        start = 0
        while start < batch.num_rows:
            # Where a film alone has more segments than a commit has rows, it goes on.
            size = rows - count if count < rows else _PIECE
            block = checked(block_of(batch.slice(start, size), schema), schema)
            held.append(block)
            start, count = start + len(block.ids), count + len(block.ids)
            if count >= rows:
                whole, rest = _parted(Block.joined(held))
                held, count = [] if rest is None else [rest], 0 if rest is None else len(rest.ids)
                if whole is not None:
                    yield whole
    if held:
        yield Block.joined(held)


def _parted(block: Block) -> tuple[Block | None, Block | None]:
    """The films that are whole, and the rows of the last one, where its end is not there yet."""
    told, count = block.segments, len(block.ids)
    assert told is not None
    number = int(told.numbers[-1])
    left = 0 if number + 1 == told.counts[-1] else min(count, number + 1)
    rows = range(count)
    if not left:
        return block, None
    return (block.take(rows[:-left]) if left < count else None), block.take(rows[-left:])


def _told(batches: Iterator[pa.RecordBatch], schema: pa.Schema, told: Told) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.select(schema.names).cast(schema)
        told(batch.num_rows)
