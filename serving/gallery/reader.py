"""A view of the gallery's table that stays at one version until it is advanced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import DIGEST, DURATION, END, ID, METADATA, SEGMENT, SEGMENTS, SOURCE, START
from ...export.bundle.segments import Segment
from .checksums import CHECKSUMS, changed
from .fact import Fact
from .failures import gallery_failures
from .numbering import version_of
from .schema import SEQUENCE, GallerySchema
from .table import Part, parts, pinned

_IDS_PER_FILTER = 4096
# Bytes of a batch, of at least so many rows, and bytes that are read ahead.
_BATCH, _LEAST_ROWS = 1 << 20, 64
_IN_FLIGHT = 8 << 20
# Begins the line of the log that says why a search server is not ready.
UNANSWERED = "searches are not answered: "
# The one row that every video has.
FIRST = f"{SEGMENT} = 0"
_FACTS = (SOURCE, DURATION, METADATA, SEGMENT, SEGMENTS, START, END)


@dataclass(frozen=True)
class Found:
    """Digests of the ids that a gallery has, and the gallery's size and version at that moment."""

    digests: dict[str, bytes]
    count: int
    version: int


class Reader:
    """Reads one version of the table; not to be shared between threads.

    Attributes:
        table: Lance's dataset, at that version.
    """

    def __init__(self, table: Any, schema: GallerySchema) -> None:
        self.table = table
        self.schema = schema
        self._rows = max(_LEAST_ROWS, _BATCH // schema.row_bytes)
        self._videos: dict[int, tuple[Part, int]] = {}

    def advance(self) -> int:
        """Go to the latest version and return it; a millisecond when nothing has changed.

        Raises:
            GalleryError: the table can't be read.
        """
        with gallery_failures("reading the gallery's version"):
            self.table.checkout_latest()
            return version_of(self.table)

    @property
    def version(self) -> int:
        """The version that is read."""
        return version_of(self.table)

    @property
    def rows(self) -> int:
        """The number of records: a film that is cut has one for each segment."""
        with gallery_failures("counting the gallery"):
            return int(self.table.count_rows())

    @property
    def count(self) -> int:
        """The number of videos; a fragment is counted again where it has changed, and not the table."""
        with gallery_failures("counting the gallery"):
            held, known = parts(self.table), self._videos
            other = [number for number, part in held.items() if number not in known or known[number][0] != part]
            found = self._fragments([SEGMENT], FIRST, other)[1] if other else np.empty(0, np.int64)
            counts = dict(zip(*(each.tolist() for each in np.unique(found, return_counts=True)), strict=True))
            fresh = {number: (held[number], counts.get(number, 0)) for number in other}
            self._videos = {number: fresh.get(number) or known[number] for number in held}
        return sum(count for _, count in self._videos.values())

    def parts(self) -> dict[int, Part]:
        """The table's fragments; those that are equal in two versions hold the same rows."""
        with gallery_failures("reading the gallery's parts"):
            return parts(self.table)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep the version that is read from being dropped while the block runs."""
        with gallery_failures("pinning the gallery's version"), pinned(self.table):
            yield

    def sequences(self, of: Sequence[int] | None = None) -> npt.NDArray[np.int64]:
        """The sequence number of every row, of the fragments ``of`` or of all, in no particular order."""
        with gallery_failures("reading the gallery"):
            found = self._scanner([SEQUENCE], None, of).to_table()
            return np.asarray(found.column(SEQUENCE).to_numpy())

    def numbers(self, of: Sequence[int]) -> dict[int, npt.NDArray[np.int64]]:
        """The sequence numbers of the rows of some fragments, by fragment."""
        if not of:
            return {}
        with gallery_failures("reading the gallery"):
            found, where = self._fragments([SEQUENCE], None, of)
            numbers = np.asarray(found.column(SEQUENCE).to_numpy())
        order = np.argsort(where, kind="stable")
        each, starts = np.unique(where[order], return_index=True)
        held = dict(zip(each.tolist(), np.split(numbers[order], starts[1:]), strict=True)) if len(each) else {}
        return {number: held.get(number, np.empty(0, np.int64)) for number in of}

    def scan(
        self,
        columns: Sequence[str],
        where: str | None = None,
        of: Sequence[int] | None = None,
        doing: str = "reading the gallery",
    ) -> Iterator[pa.RecordBatch]:
        """``columns`` of the rows that the filter ``where`` selects, of some fragments or all, as they are on disk.

        Raises:
            GalleryError: the data can't be read.
        """
        with gallery_failures(doing):
            yield from self._scanner(columns, where, of).to_batches()

    def batches(
        self, columns: Sequence[str], after: int = -1, of: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """``columns``, with id and sequence, of the rows whose sequence number is above ``after``.

        Raises:
            GalleryError: the data can't be read, or has changed since it was written.
        """
        where = f"{SEQUENCE} > {after}" if after >= 0 else None
        yield from self._whole(self.scan([ID, SEQUENCE, CHECKSUMS, *columns], where, of))

    def find(self, ids: Sequence[str]) -> Found:
        """The digests of those ``ids`` that are there; the index on ids leads to them."""
        digests: dict[str, bytes] = {}
        for found in self.named(ids, [DIGEST], first=True):
            digests.update(zip(found.column(ID).to_pylist(), found.column(DIGEST).to_pylist(), strict=True))
        return Found(digests, self.count, self.version)

    def describe(self, ids: Sequence[str]) -> dict[str, Fact]:
        """What is known of those ``ids`` that are there."""
        found = (batch.to_pylist() for batch in self.named(ids, _FACTS, first=True))
        return {row[ID]: _fact(row) for rows in found for row in rows}

    def named(self, ids: Sequence[str], columns: Sequence[str], *, first: bool = False) -> Iterator[pa.RecordBatch]:
        """``columns``, with id and sequence, of all rows of those ``ids`` that are there, or of the ``first`` of each.

        Raises:
            GalleryError: the data can't be read, or has changed since it was written.
        """
        for start in range(0, len(ids), _IDS_PER_FILTER):
            where = among(ids[start : start + _IDS_PER_FILTER]) + (f" AND {FIRST}" if first else "")
            doing = "looking up ids in the gallery"
            yield from self._whole(self.scan([ID, SEQUENCE, CHECKSUMS, *columns], where, doing=doing))

    def most_rows(self, ids: Sequence[str]) -> int:
        """The most rows that a video of ``ids`` has; 0 where none is there."""
        found = (batch.column(SEGMENTS).to_pylist() for batch in self.named(ids, [SEGMENTS], first=True))
        return max((count for counts in found for count in counts), default=0)

    def _whole(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, compared with their checksums."""
        for batch in batches:
            with gallery_failures("reading the gallery"):
                if damaged := changed(batch, self.schema.columns, SEQUENCE):
                    raise damage([batch.column(ID)[row].as_py() for row in damaged])
            yield batch

    def _fragments(
        self, columns: Sequence[str], where: str | None, of: Sequence[int]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Rows of some fragments, and the fragment of each, int64 [R]."""
        found = self._scanner(columns, where, of, addresses=True).to_table()
        return found, (np.asarray(found.column("_rowaddr").to_numpy()) >> np.uint64(32)).astype(np.int64)

    def _scanner(
        self, columns: Sequence[str], where: str | None, of: Sequence[int] | None, *, addresses: bool = False
    ) -> Any:
        return self.table.scanner(
            columns=list(columns),
            filter=where,
            fragments=None if of is None else [self.table.get_fragment(number) for number in of],
            batch_size=self._rows,
            batch_readahead=2,
            fragment_readahead=2,
            io_buffer_size=_IN_FLIGHT,
            with_row_address=addresses,
        )


def among(ids: Sequence[str]) -> str:
    """The filter that selects rows by id; a quote inside an id is doubled, nothing else is special."""
    quoted = ("'" + id_.replace("'", "''") + "'" for id_ in ids)
    return f"{ID} IN ({', '.join(quoted)})"


def _fact(row: dict[str, Any]) -> Fact:
    segment = Segment(row[SEGMENT], row[SEGMENTS], row[START], row[END])
    return Fact(row[ID], row[SOURCE], row[DURATION], row[METADATA], segment)


def damage(ids: Sequence[str]) -> GalleryError:
    """The error that names videos whose data have changed on disk."""
    shown = ", ".join(f"{id_!a:.80}" for id_ in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    return GalleryError(
        f"the gallery's data have changed on disk since they were written, of {shown}: `framesift gallery verify` "
        "lists all that have, to be removed and indexed again"
    )
