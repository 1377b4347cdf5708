"""Putting videos into a table: new ones, and those that take the place of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .blocks import Block, table
from .numbering import check_part, first_number, version_of
from .reader import Reader
from .schema import GallerySchema
from .table import chunks, replace_rows


def put(handle: Any, block: Block, ids: Sequence[str], schema: GallerySchema) -> None:
    """Commit checked videos, in the place of what ``ids``, those of them that may be there, had before.

    Raises:
        GalleryError: too many rows for one commit, or a row of another shard.
    """
    added = table(block, schema, first_number(version_of(handle), len(block.ids)))
    check_part(handle, added)
    old = Reader(handle, schema).addresses(ids)
    if len(old):
        replace_rows(handle, added, old)
    else:
        handle.insert(chunks(added), mode="append")
