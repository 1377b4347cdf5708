"""A gallery's rows into memory: each straight to its final place, so that nothing is there twice."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import ID
from ...export.bundle.spec import TensorSpec
from ..gallery.ahead import at_once
from ..gallery.reader import Reader
from ..gallery.rows import column
from ..gallery.schema import SEQUENCE
from ..gallery.table import Part
from .columns import Columns
from .derived import NOTHING, Derived
from .held import Held, held_by
from .mapped import Building, Contents, Layout, open_mapped
from .pieces import Check

# Room for more videos costs nothing until it is written to, and spares a copy of everything at the first one. In a file
# it is a hole.
HEADROOM, HEADROOM_MAPPED = 1.25, 2.0
# Smaller galleries are read from the table as fast as from a cache.
CACHED_BYTES = 64 << 20
# A version may be dropped while it is loaded; the next is begun with then.
_TRIES = 3

_log = logging.getLogger(__name__)

Numbers = npt.NDArray[np.int64]


@dataclass
class Rows:
    """Rows in memory, in the order of their sequence numbers, which are one of the columns.

    Attributes:
        held: the fragments of the table that they are of, by number.
        check: of the cache's file, where they came from one.
    """

    version: int
    columns: Columns
    ids: list[str]
    held: dict[int, Held]
    check: Check | None = None

    @property
    def numbers(self) -> Numbers:
        """The sequence number of every row, ascending."""
        return self.columns.views()[SEQUENCE]


@dataclass(frozen=True)
class Kind:
    """What is loaded of a row: tensors, some of them ``derived``, how they lie, and where the cache is, if any."""

    key: str
    specs: Sequence[TensorSpec]
    lanes: Mapping[str, int]
    folder: Path | None
    derived: Derived = NOTHING

    @property
    def row_bytes(self) -> int:
        """Of a row in memory."""
        return sum(int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in self.specs)

    def columns(self, rows: int) -> tuple[Columns, Building | None]:
        """Empty columns with room for some more rows than these: in the cache's file, or in memory alone."""
        if self.folder is not None and rows * self.row_bytes >= CACHED_BYTES:
            try:
                room = int(rows * HEADROOM_MAPPED) + 1
                building = Building(self.folder, Layout(self.key, self.specs, self.lanes, room), rows)
                return Columns(self.specs, self.lanes, building.filling, building.write), building
            # No room on the disk, a folder that can't be written, or another process that is at it.
            except OSError:
                pass
        columns = Columns(self.specs, self.lanes)
        columns.reserve(int(rows * HEADROOM) + 1)
        return columns, None


def load(reader: Reader, kind: Kind, *, anew: bool = False) -> Rows:
    """All rows: mapped from the cache where there is one, as it was then, or read from the table's latest version.

    Args:
        anew: whatever the cache holds.

    Raises:
        GalleryError: the gallery can't be read, or has changed since it was written.
    """
    found = None
    if kind.folder is not None and not anew:
        found = open_mapped(kind.folder, kind.key, kind.specs, kind.lanes)
    if found is not None:
        arrays, contents, check = found
        columns = Columns(kind.specs, kind.lanes, arrays)
        columns.rows = len(contents.ids)
        numbers = columns.views()[SEQUENCE]
        order = np.argsort(contents.places, kind="stable")
        each = np.split(numbers[order], np.cumsum(np.bincount(contents.places, minlength=len(contents.parts)))[:-1])
        held = {part.number: Held(part, own) for part, own in zip(contents.parts, each, strict=True)}
        return Rows(contents.version, columns, contents.ids, held, check)
    for left in reversed(range(_TRIES)):
        version = reader.advance()
        try:
            return _read(reader, kind, version)
        except GalleryError:
            if not left or reader.advance() == version:
                raise
    raise AssertionError("the last try returns or raises")


def read_new(reader: Reader, rows: Rows, kind: Kind, of: Sequence[int], after: int) -> int:
    """Add the rows of some fragments whose number is above ``after``, and return how many there are.

    Raises:
        GalleryError: the gallery can't be read; the rows are as before.
    """
    ids, numbers = _ids(reader, of, after)
    if not len(numbers):
        return 0
    start = rows.columns.rows
    rows.columns.extend(len(numbers))
    try:
        _fill(reader, rows.columns, kind, np.sort(numbers), start, of, after)
    except BaseException:
        rows.columns.truncate(start)
        raise
    rows.ids.extend(ids[place] for place in np.argsort(numbers).tolist())
    return len(numbers)


def _read(reader: Reader, kind: Kind, version: int) -> Rows:
    held = held_by(reader)
    ids, numbers = _ids(reader, list(held), -1)
    order = np.argsort(numbers)
    ids, numbers = [ids[place] for place in order.tolist()], numbers[order]
    columns, building = kind.columns(len(numbers))
    try:
        columns.extend(len(numbers))
        _fill(reader, columns, kind, numbers, 0, None, -1)
    except BaseException as error:
        if building is not None:
            building.close()
        if building is None or not isinstance(error, OSError):
            raise
        _log.warning("a gallery is searched without its cache, which can't be written: %s", error)
    else:
        rows = Rows(version, columns, ids, held)
        return rows if building is None else settled(rows, building, kind)
    # What is mapped of the file goes before memory is taken for the same.
    del columns, building
    return _read(reader, replace(kind, folder=None), version)


def settled(rows: Rows, building: Building, kind: Kind) -> Rows:
    """The same rows, whose file is written back and put in its place by a thread."""
    columns = Columns(kind.specs, kind.lanes, building.filled())
    columns.rows = rows.columns.rows
    numbers, places = columns.views()[SEQUENCE], np.zeros(columns.rows, np.uint32)
    parts: list[Part] = []
    for own in rows.held.values():
        places[np.searchsorted(numbers, own.numbers)] = len(parts)
        parts.append(own.part)
    building.finish_later(Contents(rows.version, parts, places, list(rows.ids)))
    return Rows(rows.version, columns, rows.ids, rows.held)


def _ids(reader: Reader, of: Sequence[int], after: int) -> tuple[list[str], Numbers]:
    ids: list[str] = []
    numbers = []
    for batch in reader.scan([ID, SEQUENCE], f"{SEQUENCE} > {after}" if after >= 0 else None, of):
        ids.extend(batch.column(ID).to_pylist())
        numbers.append(np.asarray(batch.column(SEQUENCE).to_numpy()))
    return ids, np.concatenate(numbers) if numbers else np.empty(0, np.int64)


def _fill(
    reader: Reader,
    columns: Columns,
    kind: Kind,
    numbers: Numbers,
    start: int,
    of: Sequence[int] | None,
    after: int,
) -> None:
    """Put every row to its place: the ``n``th number's from ``start`` on."""
    read = [spec for spec in columns.specs if spec.name not in kind.derived.names]
    names = [spec.name for spec in read if spec.name != SEQUENCE]

    def placed(batch: pa.RecordBatch) -> int:
        found = np.asarray(batch.column(SEQUENCE).to_numpy())
        values = {spec.name: column(batch, spec.name, spec.shape) for spec in read}
        columns.put(start + np.searchsorted(numbers, found), {**values, **kind.derived.make(values)})
        return len(found)

    count = sum(at_once(placed, reader.batches(names, after, of)))
    if count != len(numbers):
        raise GalleryError(f"the gallery has {len(numbers)} rows and {count} were read")
