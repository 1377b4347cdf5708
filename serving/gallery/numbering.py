"""Versions of a gallery, and the numbers of rows that follow from them.

A gallery's version is that of its Lance table, unless it is a shard. The shards of one gallery have versions that none
of the others has, and a writer that has heard of a version goes beyond it, as Lamport's clocks do (Communications of
the ACM 21(7), 1978). So the rows of all shards have one order: that in which they were written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import ID
from .shard import Shard

MAX_BATCH = 1 << 20
# In the table's configuration: which shard of how many it is, and what is added to Lance's versions.
_SHARD, _BASE = "framesift.shard", "framesift.base"


@dataclass(frozen=True)
class Numbering:
    """How a table's versions follow from Lance's: ``shard.count`` times (Lance's + ``base``), + ``shard.number``."""

    shard: Shard
    base: int

    @staticmethod
    def of(table: Any) -> Numbering:
        """That of the version of a table that is read."""
        told = table.config()
        if _SHARD not in told:
            return Numbering(Shard(0, 1), 0)
        return Numbering(Shard.read(told[_SHARD]), int(told.get(_BASE, 0)))

    def version(self, lance: int) -> int:
        """The gallery's version where the table has Lance's version."""
        return self.shard.count * (lance + self.base) + self.shard.number


def version_of(table: Any) -> int:
    """The gallery's version, of the version of a table that is read."""
    return Numbering.of(table).version(int(table.version))


def shard_of(table: Any) -> Shard | None:
    """Which shard of a gallery a table is; None where it is a whole one."""
    found = Numbering.of(table).shard
    return None if found.count == 1 and _SHARD not in table.config() else found


def become(table: Any, shard: Shard) -> None:
    """Make an empty table a shard."""
    table.update_config({_SHARD: str(shard), _BASE: "0"})


def raise_to(table: Any, least: int) -> None:
    """Have what is written next come after the version ``least`` of other shards; for the table's one writer."""
    found = Numbering.of(table)
    if found.version(int(table.version)) < least:
        # This is a commit, too.
        after, shard = int(table.version) + 1, found.shard
        table.update_config({_BASE: str(-((shard.number - least) // shard.count) - after)})


def check_part(table: Any, rows: pa.Table) -> None:
    """Refuse rows that another shard keeps.

    Raises:
        GalleryError: an id of another shard.
    """
    if (shard := shard_of(table)) is None:
        return
    for id_ in rows.column(ID).to_pylist():
        if not shard.has(id_):
            raise GalleryError(
                f"{id_!a:.100} belongs to another shard than {shard} of its gallery: write it through the server of "
                "all shards"
            )


def first_number(version: int, rows: int) -> int:
    """The sequence number of the first of so many rows, committed by a writer that has found this version.

    A version never comes twice, and a commit has at most ``MAX_BATCH`` rows, so numbers grow for ever, whatever is
    removed and whoever writes next.

    Raises:
        GalleryError: too many rows for one commit.
    """
    if rows > MAX_BATCH:
        raise GalleryError(f"{rows} records in one commit, the limit is {MAX_BATCH}")
    return version * MAX_BATCH
