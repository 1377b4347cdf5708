"""A view of the gallery's table that stays at one version until it is advanced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import DIGEST, ID
from .checksums import CHECKSUMS, changed
from .failures import gallery_failures
from .schema import SEQUENCE, GallerySchema

_IDS_PER_FILTER = 500
# Begins the line of the log that says why a search server is not ready.
UNANSWERED = "searches are not answered: "


@dataclass(frozen=True)
class Found:
    """Digests of the ids that a gallery has, and the gallery's size and version at that moment."""

    digests: dict[str, bytes]
    count: int
    version: int


class Reader:
    """Reads one version of the table; not to be shared between threads.

    Attributes:
        table: LanceDB's, at that version.
    """

    def __init__(self, table: Any, schema: GallerySchema) -> None:
        self.table = table
        self.schema = schema

    def advance(self) -> int:
        """Go to the latest version and return it; a millisecond when nothing has changed.

        Raises:
            GalleryError: the table can't be read.
        """
        with gallery_failures("reading the gallery's version"):
            self.table.checkout_latest()
            return int(self.table.version)

    @property
    def count(self) -> int:
        """The number of videos."""
        with gallery_failures("counting the gallery"):
            return int(self.table.count_rows())

    def sequences(self) -> npt.NDArray[np.int64]:
        """The sequence number of every row, in no particular order."""
        with gallery_failures("reading the gallery"):
            found = self.table.search().select([SEQUENCE]).to_arrow()
            return np.asarray(found.column(SEQUENCE).to_numpy())

    def batches(self, columns: Sequence[str], after: int) -> Iterator[pa.RecordBatch]:
        """``columns``, with id and sequence, of the rows whose sequence number is above ``after``.

        Raises:
            GalleryError: the data can't be read, or has changed since it was written.
        """
        with gallery_failures("reading the gallery"):
            query = self.table.search().select([ID, SEQUENCE, CHECKSUMS, *columns])
            for batch in (query.where(f"{SEQUENCE} > {after}") if after >= 0 else query).to_batches():
                if damaged := changed(batch, self.schema.columns, SEQUENCE):
                    raise damage([batch.column(ID)[row].as_py() for row in damaged])
                yield batch

    def find(self, ids: Sequence[str]) -> Found:
        """The digests of those ``ids`` that are there."""
        digests: dict[str, bytes] = {}
        with gallery_failures("looking up ids in the gallery"):
            if ids:
                columns = [ID, SEQUENCE, CHECKSUMS, DIGEST]
                query, wanted = self.table.search().select(columns), pa.array(ids, pa.string())
                # Every filter reads all ids, so for many there is one pass without any: of 10,000 ids in 0.05 s
                # instead of 1.5.
                for batch in (query.where(among(ids)) if len(ids) <= _IDS_PER_FILTER else query).to_batches():
                    found = batch.filter(pc.is_in(batch.column(ID), wanted))
                    if damaged := changed(found, self.schema.columns, SEQUENCE):
                        raise damage([found.column(ID)[row].as_py() for row in damaged])
                    digests.update(zip(found.column(ID).to_pylist(), found.column(DIGEST).to_pylist(), strict=True))
            return Found(digests, int(self.table.count_rows()), int(self.table.version))


def among(ids: Sequence[str]) -> str:
    """The filter that selects rows by id; a quote inside an id is doubled, nothing else is special."""
    quoted = ("'" + id_.replace("'", "''") + "'" for id_ in ids)
    return f"{ID} IN ({', '.join(quoted)})"


def damage(ids: Sequence[str]) -> GalleryError:
    """The error that names videos whose data have changed on disk."""
    shown = ", ".join(f"{id_!a:.80}" for id_ in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    return GalleryError(
        f"the gallery's data have changed on disk since they were written, of {shown}: `framesift gallery verify` "
        "lists all that have, to be removed and indexed again"
    )
