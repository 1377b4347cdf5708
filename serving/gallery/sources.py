"""Records of other makers: Parquet files and Lance tables, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.errors import GalleryError, InvalidRequest
from ...export.bundle.ports import (
    CUTTING,
    DIGEST,
    DURATION,
    END,
    ID,
    METADATA,
    SEGMENT,
    SEGMENTS,
    SOURCE,
    START,
    TIMESTAMPS,
)
from .addresses import local_folder
from .blocks import Block
from .checksums import CHECKSUMS, changed
from .failures import gallery_failures
from .reader import damage
from .schema import SEQUENCE, GallerySchema
from .segments import Segments
from .shards import is_split, shards_of
from .table import TABLE, dataset, has_table

_BATCH_BYTES, _MOST_ROWS = 16 << 20, 4096
_PARQUET = ".parquet"
_PARTS = (SEGMENT, SEGMENTS, START, END)


@dataclass(frozen=True)
class Records:
    """Tables of records: their columns, how many rows they have, and where they lie: Parquet files, or Lance tables."""

    path: Path
    files: Sequence[Path]
    schema: pa.Schema
    count: int

    @staticmethod
    def open(path: Path) -> Records:
        """A Parquet file, a folder of such, a Lance table, or the folder of a gallery or of one in shards.

        Raises:
            GalleryError: there is none of these.
        """
        path = local_folder(path)
        if not path.exists():
            raise GalleryError(f"there is no {path} to import")
        with gallery_failures(f"opening {path}"):
            if tables := _tables(path):
                opened = [dataset(table) for table in tables]
                return Records(path, tables, opened[0].schema, sum(table.count_rows() for table in opened))
            files = sorted(path.glob(f"*{_PARQUET}")) if path.is_dir() else [path]
            if not files:
                raise GalleryError(f"{path} holds no Parquet files (*{_PARQUET}) and is no Lance table")
            from pyarrow.parquet import ParquetFile

            opened = [ParquetFile(file) for file in files]
            schema = opened[0].schema_arrow
            for file, held in zip(files, opened, strict=True):
                if not held.schema_arrow.equals(schema):
                    raise GalleryError(f"{file} has other columns than {files[0]}: import them one by one")
            return Records(path, files, schema, sum(held.metadata.num_rows for held in opened))

    def made_for(self) -> GallerySchema | None:
        """The model whose records these are, where ``framesift gallery export`` or a gallery has noted it."""
        return GallerySchema.noted(self.schema)

    def batches(self, schema: GallerySchema) -> Iterator[pa.RecordBatch]:
        """All rows with the columns that a gallery of ``schema`` has.

        Other columns are not read, whatever they are called.

        Raises:
            GalleryError: a column is missing, or the data can't be read.
        """
        there = self.schema.names
        needed = [ID, DIGEST, *(spec.name for spec in schema.record)]
        if missing := [name for name in needed if name not in there]:
            raise GalleryError(f"{self.path} has no column {', '.join(missing)}; it has {', '.join(there)}")
        # Where a film is cut, its rows have one id: without the rest they would take one another's place.
        if (cut := [name for name in (SEGMENT, SEGMENTS) if name in there]) and not _has(there, _PARTS):
            raise GalleryError(
                f"{self.path} has the column {' and '.join(cut)} and not all of {', '.join(_PARTS)}, which say how "
                "films are cut: add the others, or leave these out or name them otherwise"
            )
        known = {*needed, SOURCE, METADATA, DURATION, TIMESTAMPS}
        known.update(
            (*_PARTS, CUTTING) if _has(there, _PARTS) else (), _all(schema) if _has(there, _all(schema)) else ()
        )
        names = [name for name in there if name in known]
        rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // schema.row_bytes))
        with gallery_failures(f"reading {self.path}"):
            for file in self.files:
                if file.is_dir():
                    yield from dataset(file).scanner(columns=names, batch_size=rows, batch_readahead=2).to_batches()
                    continue
                from pyarrow.parquet import ParquetFile

                yield from ParquetFile(file).iter_batches(batch_size=rows, columns=names)


def _tables(path: Path) -> list[Path]:
    """The Lance tables that a path names."""
    if is_split(path):
        return [shard.root / TABLE for shard in shards_of(path)]
    if has_table(path):
        return [path / TABLE]
    return [path] if (path / "_versions").is_dir() else []


def block_of(batch: pa.RecordBatch, schema: GallerySchema) -> Block:
    """A batch's videos, of whatever floating dtype and kind of list; what has checksums is compared with them.

    Raises:
        InvalidRequest: a value that is missing, or a column of another kind.
        GalleryError: values have changed since they were written.
    """
    for name in batch.schema.names:
        if batch.column(name).null_count:
            row = batch.column(name).is_null().to_pylist().index(True)
            raise InvalidRequest(f"{name} of {batch.column(ID)[row].as_py()!r} is missing")
    if _has(batch.schema.names, _all(schema)):
        with gallery_failures("comparing checksums"):
            if damaged := changed(batch, schema.columns, SEQUENCE):
                raise damage([batch.column(ID)[row].as_py() for row in damaged])
    count = batch.num_rows
    return Block(
        ids=_texts(batch, ID, ""),
        sources=_texts(batch, SOURCE, ""),
        digests=_digests(batch),
        metadata=_texts(batch, METADATA, "{}"),
        durations=_numbers(batch, DURATION, ()) if DURATION in batch.schema.names else np.zeros(count, np.float32),
        timestamps=_numbers(batch, TIMESTAMPS, (schema.frames,))
        if TIMESTAMPS in batch.schema.names
        else np.zeros((count, schema.frames), np.float32),
        tensors={spec.name: _numbers(batch, spec.name, spec.shape) for spec in schema.record},
        segments=_segments(batch),
        cuttings=_texts(batch, CUTTING, ""),
    )


def _segments(batch: pa.RecordBatch) -> Segments | None:
    """Which parts of films the rows are; None where the table doesn't tell."""
    if not _has(batch.schema.names, _PARTS):
        return None
    numbers, counts = (_whole_numbers(batch, name) for name in (SEGMENT, SEGMENTS))
    starts, ends = (_numbers(batch, name, ()).astype(np.float32) for name in (START, END))
    return Segments(numbers, counts, starts, ends)


def _all(schema: GallerySchema) -> tuple[str, ...]:
    """What has checksums, and these."""
    return (*schema.columns, CHECKSUMS)


def _has(names: Sequence[str], wanted: Sequence[str]) -> bool:
    return set(wanted) <= set(names)


def _whole_numbers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int32]:
    kind = batch.schema.field(name).type
    if not pa.types.is_integer(kind):
        raise InvalidRequest(f"the column {name} is {kind}, it must hold whole numbers")
    with gallery_failures(f"reading the column {name}"):
        return np.asarray(batch.column(name).cast(pa.int32()).to_numpy(zero_copy_only=False))


def _texts(batch: pa.RecordBatch, name: str, otherwise: str) -> list[str]:
    if name not in batch.schema.names:
        return [otherwise] * batch.num_rows
    kind = batch.schema.field(name).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InvalidRequest(f"the column {name} is {kind}, it must hold texts")
    with gallery_failures(f"reading the column {name}"):
        return [str(value) for value in batch.column(name).to_pylist()]


def _digests(batch: pa.RecordBatch) -> list[bytes]:
    kind = batch.schema.field(DIGEST).type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)):
        raise InvalidRequest(f"the column {DIGEST} is {kind}, it must hold the 32 bytes of a SHA-256")
    return [bytes(value) for value in batch.column(DIGEST).to_pylist()]


def _numbers(batch: pa.RecordBatch, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A column as an array [B, *shape]."""
    values, size, even = batch.column(name), int(np.prod(shape, dtype=np.int64)), True
    while not pa.types.is_floating(values.type):
        if not hasattr(values, "flatten") or pa.types.is_struct(values.type) or pa.types.is_map(values.type):
            raise InvalidRequest(f"the column {name} is {batch.column(name).type}, it must hold floating numbers")
        even, values = even and _even(values), values.flatten()
    if not even or values.null_count or len(values) != size * batch.num_rows:
        raise InvalidRequest(f"the column {name} must hold {size} numbers a video, {list(shape)}, and no gaps")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(batch.num_rows, *shape)


def _even(values: pa.Array) -> bool:
    """Whether all lists are there and of one length: of others a video could get numbers of the next one."""
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.list_value_length(values)).as_py()
    return not values.null_count and lengths["min"] == lengths["max"]
