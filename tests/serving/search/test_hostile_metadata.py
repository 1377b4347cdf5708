"""Metadata that a stranger wrote so that whoever reads or filters it fails."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow as pa
import pytest

from framesift.export.bundle.checks import check_metadata
from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.limits import MAX_METADATA_DEPTH
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.facts import Facts
from framesift.serving.search.filters.columns import Known, columns_of
from framesift.serving.search.selecting import Selector
from framesift.serving.search.snapshot import Snapshot

MakeEntry = Callable[..., GalleryEntry]


def nested(depth: int) -> str:
    """Metadata of so many objects and lists within one another."""
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_metadata_has_a_depth_that_every_reader_bears() -> None:
    check_metadata(nested(MAX_METADATA_DEPTH))
    check_metadata(json.dumps({"flat": [{} for _ in range(MAX_METADATA_DEPTH * 2)], "text": "[" * 200}))
    for depth in (MAX_METADATA_DEPTH + 1, 900, 990, 30_000):
        with pytest.raises(InvalidRequest, match="nested more than 64 deep|not JSON"):
            check_metadata(nested(depth))


def test_metadata_that_others_wrote_keeps_nobody_from_filtering() -> None:
    texts = [nested(992), "no JSON", "[1]", "5", "", '{"year": 1999}', '{"year": ' + "9" * 5000 + "}"]
    found = columns_of(pa.array(texts), Known()).fields
    assert set(found) == {("year",)}
    assert found["year",].present.tolist() == [5]


def test_names_of_fields_that_nobody_types_are_neither_compared_nor_shown(
    manifest: Manifest, folder, make_entry: MakeEntry
) -> None:
    # Two names of 4,000 characters, of which none is frequent, take difflib minutes; 12 of 60,000 fill an answer.
    letters = [chr(0x4E00 + number % 97) for number in range(4000)]
    long = {"".join(letters[place:] + letters[:place]): 1 for place in range(0, 20, 5)}
    gallery = Gallery.open(folder, manifest)
    gallery.add([make_entry("a", metadata=json.dumps({**long, "year": 1999}, ensure_ascii=False))])
    facts = Facts(gallery.reader())
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS], facts=facts)
    with pytest.raises(InvalidRequest) as raised:
        Selector(snapshot, facts).part(snapshot.view, (), f"`{''.join(letters[7:1300])}` = 1", None)
    assert "there are duration, id, segment.end, segment.number, segment.start, source, year" in str(raised.value)
    assert len(str(raised.value)) < 400
