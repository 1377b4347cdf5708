"""Reading a whole gallery, to say what in it has changed since it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import ID
from .checksums import CHECKSUMS, changed
from .reader import Reader
from .schema import SEQUENCE

# So many rows that can't be read are looked for one by one; of more, the first and last number are told.
_SINGLE = 200


@dataclass(frozen=True)
class Fault:
    """What is wrong, and with which video; ``id`` is None where that can't be read any more."""

    id: str | None
    what: str


def verify(reader: Reader, done: Callable[[int], object] = lambda rows: None) -> list[Fault]:
    """Read every value of every video and compare it with its checksum.

    Args:
        done: called with a number of rows that have been read.

    Returns:
        The faults, in the order of the table; none in a whole gallery.
    """
    faults: list[Fault] = []
    try:
        for batch in _batches(reader):
            faults += _changed(batch, reader)
            done(batch.num_rows)
        return faults
    except GalleryError as failure:
        # Old versions are removed beside their readers, so what can't be read may only be old.
        reader.advance()
        return _unreadable(reader, str(failure))


def _batches(reader: Reader, where: str | None = None) -> Iterator[pa.RecordBatch]:
    return reader.scan([*reader.schema.columns, CHECKSUMS], where)


def _changed(batch: pa.RecordBatch, reader: Reader) -> list[Fault]:
    found = changed(batch, reader.schema.columns, SEQUENCE)
    return [Fault(_id(batch, row), f"changed: {', '.join(names)}") for row, names in sorted(found.items())]


def _unreadable(reader: Reader, failure: str) -> list[Fault]:
    """The faults of a gallery of which a part can't be read at all: it is read in ever smaller parts."""
    try:
        numbers = np.sort(reader.sequences())
    except GalleryError:
        return [Fault(None, failure)]
    faults: list[Fault] = []
    left = [numbers]
    while left:
        part = left.pop()
        where = f"{SEQUENCE} >= {part[0]} AND {SEQUENCE} <= {part[-1]}" if len(part) else ""
        try:
            for batch in _batches(reader, where) if len(part) else ():
                faults += _changed(batch, reader)
        except GalleryError as error:
            if len(part) == 1 or len(faults) > _SINGLE:
                faults.append(_lost(reader, part.tolist(), where, str(error)))
            else:
                left += [part[len(part) // 2 :], part[: len(part) // 2]]
    return faults or [Fault(None, failure)]


def _lost(reader: Reader, part: list[int], where: str, reason: str) -> Fault:
    if len(part) > 1:
        return Fault(None, f"rows {part[0]} to {part[-1]}: {reason}")
    try:
        for batch in reader.scan([ID], where):
            return Fault(str(batch.column(ID)[0].as_py()), reason)
    except (GalleryError, UnicodeDecodeError, pa.ArrowInvalid):
        pass
    return Fault(None, f"row {part[0]}: {reason}")


def _id(batch: pa.RecordBatch, row: int) -> str | None:
    try:
        return str(batch.column(ID)[row].as_py())
    # Its bytes may be no text any more.
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
