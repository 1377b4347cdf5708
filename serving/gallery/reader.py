"""A view of the gallery's table that stays at one version until it is advanced."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import CUTTING, DIGEST, DURATION, END, ID, METADATA, SEGMENT, SEGMENTS, SOURCE, START
from ...export.bundle.segments import Segment, content_digest
from .checksums import CHECKSUMS, changed
from .fact import Fact
from .failures import gallery_failures
from .numbering import version_of
from .row_addresses import Numbers, addresses_of, by_fragment, fragments_of, places_of
from .schema import SEQUENCE, GallerySchema
from .table import Part, parts, pinned

_IDS_PER_FILTER = 4096
# Bytes of a batch, of at least and at most so many rows, and bytes that are read ahead.
_BATCH, _LEAST_ROWS, _MOST_ROWS = 1 << 20, 64, 8192
_IN_FLIGHT = 8 << 20
# Begins the line of the log that says why a search server is not ready.
UNANSWERED = "searches are not answered: "
# The one row that every video has.
FIRST = f"{SEGMENT} = 0"
_FACTS = (SOURCE, DURATION, METADATA, SEGMENT, SEGMENTS, START, END, CUTTING)

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Found:
    """Digests of the ids that a gallery has, and the gallery's size and version at that moment.

    A digest is of a video's file and of how that is cut, see ``content_digest``.
    """

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
        # By fragment of the table how many videos it had, and whether each was one row.
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
        with gallery_failures(f"counting the gallery in {os.path.dirname(self.table.uri)}"):
            return int(self.table.count_rows())

    @property
    def count(self) -> int:
        """The number of videos; a fragment's rows are looked at once, and again only where films are cut."""
        with gallery_failures(f"counting the gallery in {os.path.dirname(self.table.uri)}"):
            held, known = parts(self.table), self._videos
            told = {number: _still(known.get(number), part) for number, part in held.items()}
            other = [number for number, count in told.items() if count is None]
            found = fragments_of(self._addressed([SEGMENT], FIRST, other)[1])
            counts = dict(zip(*(each.tolist() for each in np.unique(found, return_counts=True)), strict=True))
            self._videos = {
                number: (held[number], counts.get(number, 0) if count is None else count)
                for number, count in told.items()
            }
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

    def sequences(self, of: Sequence[int] | None = None) -> Numbers:
        """The sequence number of every row, of the fragments ``of`` or of all, in no particular order."""
        with gallery_failures("reading the gallery"):
            found = self._scanner([SEQUENCE], None, of).to_table()
            return np.asarray(found.column(SEQUENCE).to_numpy())

    def numbers(self, of: Sequence[int]) -> dict[int, tuple[Numbers, Numbers]]:
        """By fragment, of some of them, the sequence numbers of its rows, and their places in it."""
        with gallery_failures("reading the gallery"):
            found, addresses = self._addressed([SEQUENCE], None, of)
            numbers = np.asarray(found.column(SEQUENCE).to_numpy()) if of else _NONE
        return {number: (own, places) for number, own, places in by_fragment(of, addresses, numbers)}

    def places(self, of: Sequence[int]) -> dict[int, Numbers]:
        """By fragment, of some of them, the places of the rows that it has left; nothing of their columns is read."""
        with gallery_failures("reading the gallery"):
            addresses = self._addressed([], None, of)[1]
        return {number: places for number, _, places in by_fragment(of, addresses, addresses)}

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

    def digests(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The digests of those ``ids`` that are there; the index on ids leads to them."""
        digests: dict[str, bytes] = {}
        for found in self.named(ids, [DIGEST, CUTTING], segment=0):
            digests.update(zip(found.column(ID).to_pylist(), contents(found), strict=True))
        return digests

    def cuttings(self, ids: Sequence[str]) -> dict[str, str]:
        """How those films of ``ids`` are cut that are, as JSON."""
        pairs = (
            zip(found.column(ID).to_pylist(), found.column(CUTTING).to_pylist(), strict=True)
            for found in self.named(ids, [CUTTING], segment=0)
        )
        return {id_: text for each in pairs for id_, text in each if text}

    @property
    def cuts(self) -> bool:
        """Whether a film is cut; one column is read, as far as the first."""
        return any(found.num_rows for found in self.scan([CUTTING], f"{CUTTING} != ''"))

    def describe(self, ids: Sequence[str]) -> dict[str, Fact]:
        """What is known of those ``ids`` that are there."""
        found = (batch.to_pylist() for batch in self.named(ids, _FACTS, segment=0))
        return {row[ID]: _fact(row) for rows in found for row in rows}

    def first_rows(self, of: int) -> Iterator[tuple[pa.RecordBatch, Numbers, list[int]]]:
        """Ids, and what ``contents`` reads, of a fragment's videos, a batch at a time, with their places in it.

        The last are those of a batch's rows that have changed since they were written.

        Raises:
            GalleryError: the data can't be read.
        """
        columns = [ID, SEQUENCE, CHECKSUMS, DIGEST, CUTTING]
        with gallery_failures("reading the gallery"):
            for batch in self._scanner(columns, FIRST, [of], addresses=True).to_batches():
                yield batch, places_of(addresses_of(batch)), sorted(changed(batch, self.schema.columns, SEQUENCE))

    def named(
        self, ids: Sequence[str], columns: Sequence[str], *, segment: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """``columns``, with id and sequence, of all rows of those ``ids`` that are there, or of one segment of each.

        Raises:
            GalleryError: the data can't be read, or has changed since it was written.
        """
        for start in range(0, len(ids), _IDS_PER_FILTER):
            where = among(ids[start : start + _IDS_PER_FILTER]) + (
                "" if segment is None else f" AND {SEGMENT} = {segment}"
            )
            doing = "looking up ids in the gallery"
            yield from self._whole(self.scan([ID, SEQUENCE, CHECKSUMS, *columns], where, doing=doing))

    def most_rows(self, ids: Sequence[str]) -> int:
        """The most rows that a video of ``ids`` has; 0 where none is there."""
        found = (batch.column(SEGMENTS).to_pylist() for batch in self.named(ids, [SEGMENTS], segment=0))
        return max((count for counts in found for count in counts), default=0)

    def addresses(self, ids: Sequence[str]) -> Numbers:
        """Where all rows lie of those ``ids`` that are there, int64 [R].

        Raises:
            GalleryError: the data can't be read.
        """
        found = [_NONE]
        with gallery_failures("looking up ids in the gallery"):
            for start in range(0, len(ids), _IDS_PER_FILTER):
                where = among(ids[start : start + _IDS_PER_FILTER])
                found.append(addresses_of(self._scanner([], where, None, addresses=True).to_table()))
        return np.concatenate(found)

    def _whole(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, compared with their checksums."""
        for batch in batches:
            with gallery_failures("reading the gallery"):
                if damaged := changed(batch, self.schema.columns, SEQUENCE):
                    raise damage([batch.column(ID)[row].as_py() for row in damaged])
            yield batch

    def _addressed(self, columns: Sequence[str], where: str | None, of: Sequence[int]) -> tuple[pa.Table, Numbers]:
        """Rows of some fragments, and the address of each, int64 [R]: its fragment above 32 bits of its place in it."""
        if not of:
            return pa.table({}), _NONE
        found = self._scanner(columns, where, of, addresses=True).to_table()
        return found, addresses_of(found)

    def _scanner(
        self, columns: Sequence[str], where: str | None, of: Sequence[int] | None, *, addresses: bool = False
    ) -> Any:
        return self.table.scanner(
            columns=list(columns),
            filter=where,
            fragments=None if of is None else [self.table.get_fragment(number) for number in of],
            batch_size=max(_LEAST_ROWS, min(_MOST_ROWS, _BATCH // self.schema.bytes_of(columns))),
            batch_readahead=2,
            fragment_readahead=2,
            io_buffer_size=_IN_FLIGHT,
            with_row_address=addresses,
        )


def contents(rows: pa.RecordBatch) -> list[bytes]:
    """What stands for the videos of rows with their digests and cuttings."""
    pairs = zip(rows.column(DIGEST).to_pylist(), rows.column(CUTTING).to_pylist(), strict=True)
    return [content_digest(digest, cutting) for digest, cutting in pairs]


def among(ids: Sequence[str]) -> str:
    """The filter that selects rows by id; a quote inside an id is doubled, nothing else is special."""
    quoted = ("'" + id_.replace("'", "''") + "'" for id_ in ids)
    return f"{ID} IN ({', '.join(quoted)})"


def _still(known: tuple[Part, int] | None, part: Part) -> int | None:
    """How many videos a fragment has, where that follows from how many it had: rows are removed, and none is added."""
    if known is None or (known[0] != part and (known[0].file != part.file or known[1] != known[0].live)):
        return None
    return known[1] if known[0] == part else part.live


def _fact(row: dict[str, Any]) -> Fact:
    segment = Segment(row[SEGMENT], row[SEGMENTS], row[START], row[END])
    return Fact(row[ID], row[SOURCE], row[DURATION], row[METADATA], segment, row[CUTTING])


def damage(ids: Sequence[str]) -> GalleryError:
    """The error that names videos whose data have changed on disk."""
    shown = ", ".join(f"{id_!a:.80}" for id_ in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    return GalleryError(
        f"the gallery's data have changed on disk since they were written, of {shown}: `framesift gallery verify` "
        "lists all that have, to be removed and indexed again"
    )
