"""Changes of what is known of videos: their metadata, in one commit as anything that is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ...export.bundle.checks import check_id, check_metadata, dump_metadata
from ...export.bundle.errors import InvalidRequest
from .reader import Reader, among
from .schema import SEQUENCE
from .sources import block_of
from .store import Commit, Gallery
from .writing import put

# Bytes of records that are read and written in one commit.
_AT_ONCE = 64 << 20


@dataclass(frozen=True)
class Change:
    """What is to become of a video.

    Attributes:
        delete: it is to be removed.
        metadata: what takes the place of its metadata, or, with ``merge``, is laid over it: a name whose value is None
            is left out then.
        text: instead of that, the very text that its metadata is to be.
    """

    delete: bool = False
    metadata: Mapping[str, Any] | None = None
    merge: bool = False
    text: str | None = None

    @staticmethod
    def parse(text: str) -> Change:
        """A change from its JSON: {"delete": true}, {"metadata": {...}} or {"merge": {...}}.

        Raises:
            InvalidRequest: it is none of these, or metadata that breaks the rules.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"a change is not JSON: {str(error)[:100]}") from error
        match values:
            case {"delete": True} if len(values) == 1:
                return Change(delete=True)
            case {"metadata": dict(metadata)} if len(values) == 1:
                dump_metadata(metadata)
                return Change(metadata=metadata)
            case {"merge": dict(metadata)} if len(values) == 1:
                return Change(metadata=metadata, merge=True)
        raise InvalidRequest('a change is {"delete": true}, {"metadata": {...}} or {"merge": {...}}')

    def applied(self, before: str) -> str:
        """The metadata of a video that had ``before``.

        Raises:
            InvalidRequest: it would be too large, or holds what JSON has no form for.
        """
        if self.text is not None:
            return check_metadata(self.text)
        given = dict(self.metadata or {})
        if self.merge:
            given = {name: value for name, value in {**json.loads(before), **given}.items() if value is not None}
        return dump_metadata(given)


@dataclass(frozen=True)
class Edited:
    """The last commit of some changes, and the ids that were there."""

    commit: Commit
    present: frozenset[str]


def read_changes(ids: Sequence[str], texts: Sequence[str]) -> dict[str, Change]:
    """What is to become of each video, from ``Change.parse``'s texts.

    Raises:
        InvalidRequest: an id that breaks the rules or comes twice, or a text that can't be read.
    """
    for id_ in ids:
        check_id(id_)
    changes = dict(zip(ids, map(Change.parse, texts), strict=True))
    if len(changes) < len(ids):
        raise InvalidRequest("an id comes twice among the videos to be changed")
    return changes


def edit(gallery: Gallery, changes: Mapping[str, Change]) -> Edited:
    """Remove videos and change the metadata of others; ids that are not there are passed over.

    All that are removed go in one commit, and so do as many changed records as fit into some memory. A video whose
    metadata changes is written again, as if it had been indexed again.

    Raises:
        InvalidRequest: an id that breaks the rules, or metadata that would; nothing was written, unless others changed
            that metadata meanwhile.
        GalleryError: it could not be written.
    """
    for id_ in changes:
        check_id(id_)
    present: set[str] = set()
    removed = [id_ for id_, change in changes.items() if change.delete]
    changed = [id_ for id_ in changes if not changes[id_].delete]
    commit: Commit | None = None
    each = max(1, _AT_ONCE // gallery.schema.row_bytes)
    if changed and (removed or len(changed) > each):
        # Of several commits the first would stand where a later one is refused.
        for id_, fact in gallery.describe(changed).items():
            changes[id_].applied(fact.metadata)
    if removed:
        commit, found = _remove(gallery, removed)
        present |= found
    for start in range(0, len(changed), each):
        commit, found = _rewrite(gallery, changed[start : start + each], changes)
        present |= found
    return Edited(commit or gallery.remove([]), frozenset(present))


def _remove(gallery: Gallery, ids: Sequence[str]) -> tuple[Commit, set[str]]:
    with gallery.writing() as handle:
        found = set(Reader(handle, gallery.schema).digests(ids))
        if found:
            handle.delete(among(ids))
        return gallery.commit(handle), found


def _rewrite(gallery: Gallery, ids: Sequence[str], changes: Mapping[str, Change]) -> tuple[Commit, set[str]]:
    schema = gallery.schema
    with gallery.writing() as handle:
        batches = list(Reader(handle, schema).named(ids, schema.columns[2:]))
        rows = pa.Table.from_batches(batches).combine_chunks() if batches else None
        found: set[str] = set()
        if rows is not None and rows.num_rows:
            block = block_of(rows.sort_by(SEQUENCE).combine_chunks().to_batches()[0], schema)
            found = set(block.ids)
            after = [changes[id_].applied(text) for id_, text in zip(block.ids, block.metadata, strict=True)]
            put(handle, replace(block, metadata=after), sorted(found), schema)
        return gallery.commit(handle), found
