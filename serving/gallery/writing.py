"""Putting videos into a table: new ones, and those that take the place of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...export.bundle.ports import ID
from .blocks import Block, table
from .numbering import check_part, first_number, version_of
from .reader import Reader, among
from .schema import GallerySchema
from .table import chunks, replace_rows


def put(handle: Any, block: Block, ids: Sequence[str], schema: GallerySchema) -> None:
    """Commit checked videos, in the place of what ``ids``, those of them that may be there, had before.

    What is new is appended, which takes half the time of putting rows in the place of others.

    Raises:
        GalleryError: too many rows for one commit, or a row of another shard.
    """
    added = table(block, schema, first_number(version_of(handle), len(block.ids)))
    check_part(handle, added)
    most = Reader(handle, schema).most_rows(ids)
    if not most:
        handle.insert(chunks(added), mode="append")
    elif most == 1 and (block.segments is None or (block.segments.counts == 1).all()):
        handle.merge_insert(ID).when_matched_update_all().when_not_matched_insert_all().execute(chunks(added))
    else:
        replace_rows(handle, added, among(ids))
