"""Segments that come one by one: nothing of a film is kept before its last one, and then all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from framesift.export.bundle.cut_request import CutRequest
from framesift.export.bundle.errors import InvalidRequest, ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import GALLERY_VARIABLE
from framesift.export.bundle.packing import pack_rows
from framesift.export.bundle.ports import (
    COUNT,
    DIGEST,
    DURATION,
    ID,
    METADATA,
    PART,
    SOURCE,
    SPAN,
    TIMESTAMPS,
    VERSION,
)
from framesift.export.bundle.segments import Cutting, Segment
from framesift.export.bundle.video.part import Part, Piece
from framesift.serving.backends.gallery_index import GalleryIndex
from framesift.serving.gallery.drafts import Drafts
from framesift.serving.gallery.rows import GalleryEntry, Row
from framesift.serving.gallery.schema import GallerySchema

MakeEntry = Callable[..., GalleryEntry]
CUT = Cutting(1)
Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture
def index(tmp_path: Path, folder: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> GalleryIndex:
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    monkeypatch.setenv(GALLERY_VARIABLE, str(folder))
    body = GalleryIndex()
    body.setup({}, tmp_path)
    return body


def request(entry: GalleryEntry, draft: str = "") -> Arrays:
    """An entry as a request; a segment where it has a draft."""
    arrays: Arrays = {name: values[None].astype(np.float32) for name, values in entry.tensors.items()}
    part = Part(entry.segment.number, draft, CUT, entry.segment)
    return arrays | {
        ID: pack_rows([entry.id.encode()]),
        SOURCE: pack_rows([entry.source.encode()]),
        DIGEST: np.frombuffer(entry.digest, np.uint8)[None],
        METADATA: pack_rows([entry.metadata.encode()]),
        TIMESTAMPS: np.asarray(entry.timestamps, np.float32)[None],
        DURATION: np.array([[entry.duration]], np.float32),
        **({PART: pack_rows([part.json().encode()]), SPAN: np.array([entry.segment], np.float64)} if draft else {}),
    }


def film(make_entry: MakeEntry, id_: str, total: int, **facts: Any) -> list[GalleryEntry]:
    digest = make_entry(id_).digest
    return [
        make_entry(id_, seed=n, **{"digest": digest, "segment": Segment(n, total, n, n + 1), **facts})
        for n in range(total)
    ]


def told(answers: Any) -> list[tuple[int, int]]:
    return [(int(answer[VERSION][0, 0]), int(answer[COUNT][0, 0])) for answer in answers]


def test_a_film_is_kept_with_its_last_segment_in_whatever_order_they_come(
    index: GalleryIndex, make_entry: MakeEntry
) -> None:
    a, b = film(make_entry, "a", 4), film(make_entry, "b", 2)
    before = index.gallery.version
    # Others' segments and whole videos are in the same batches.
    assert told(index.run([request(a[2], "x"), request(b[1], "y"), request(a[0], "x")])) == [(0, 1), (0, 1), (0, 2)]
    assert index.gallery.version == before
    (first, second, third) = told(index.run([request(a[3], "x"), request(b[0], "y"), request(make_entry("c"))]))
    assert first == (0, 3)
    assert second == third == (index.gallery.version, 2)
    (last,) = told(index.run([request(a[1], "x")]))
    assert last == (index.gallery.version, 3)
    rows = index.gallery.reader().table.to_table(["id", "segment", "sequence"]).sort_by("sequence").to_pylist()
    assert [(row["id"], row["segment"]) for row in rows[-4:]] == [("a", n) for n in range(4)]
    # Its digest is the file's, and how it was cut is kept beside it.
    found = index.gallery.lookup(["a", "c"])
    assert found.digests == {"a": CUT.digest(a[0].digest), "c": make_entry("c").digest}
    assert index.gallery.reader().cuttings(["a", "c"]) == {"a": CUT.json()}
    # One that comes again belongs to a film that begins anew.
    assert told(index.run([request(a[1], "x")])) == [(0, 1)]


def test_two_films_of_one_id_at_once_are_both_whole_and_the_last_stays(
    index: GalleryIndex, make_entry: MakeEntry
) -> None:
    first = film(make_entry, "a", 3)
    second = film(make_entry, "a", 3, digest=bytes(32))
    for n in (0, 1):
        assert told(index.run([request(first[n], "first")])) == [(0, n + 1)]
        assert told(index.run([request(second[n], "second")])) == [(0, n + 1)]
    (before,) = told(index.run([request(second[2], "second")]))
    (after,) = told(index.run([request(first[2], "first")]))
    assert 0 < before[0] < after[0]
    assert before[1] == after[1] == 1
    assert index.gallery.lookup(["a"]).digests == {"a": CUT.digest(first[0].digest)}
    # Both may become whole in one commit, too.
    for n in (0, 1):
        index.run([request(first[n], "first"), request(second[n], "second")])
    both = told(index.run([request(first[2], "first"), request(second[2], "second")]))
    assert [count for _, count in both] == [1, 1]
    assert index.gallery.lookup(["a"]).digests == {"a": CUT.digest(second[0].digest)}


def test_segments_of_different_films_are_no_film(index: GalleryIndex, make_entry: MakeEntry) -> None:
    a = film(make_entry, "a", 3)
    index.run([request(a[0], "x")])
    other = film(make_entry, "a", 3, metadata='{"year":1999}')
    (fault,) = index.run([request(other[1], "x")])
    assert isinstance(fault, InvalidRequest)
    assert "is not of the film" in str(fault)
    assert index.gallery.count == 0


def test_what_waits_has_a_limit(make_entry: MakeEntry, manifest: Manifest) -> None:
    schema = GallerySchema.of(manifest)
    rows = [Row.of(entry, schema) for entry in film(make_entry, "a", 9)]
    each = sum(tensor.nbytes for tensor in rows[0].tensors.values())
    drafts = Drafts(most=4 * each)
    assert [drafts.add("x", (row, None)) for row in rows[:4]] == [1, 2, 3, 4]
    # What comes again fills nothing more.
    assert [drafts.add("x", (row, None)) for row in rows[:4]] == [4, 4, 4, 4]
    with pytest.raises(ServerUnavailable, match="segments of other films"):
        drafts.add("x", (rows[4], None))
    assert drafts.add("x", (rows[5], None)) == 1


def test_what_a_film_s_failed_tries_left_gives_way_to_the_next_and_not_to_other_films(
    manifest: Manifest, make_entry: MakeEntry
) -> None:
    schema = GallerySchema.of(manifest)
    rows = [Row.of(entry, schema) for entry in film(make_entry, "a", 3)]
    other = [Row.of(entry, schema) for entry in film(make_entry, "b", 3)]
    each = sum(tensor.nbytes for tensor in rows[0].tensors.values())
    drafts = Drafts(most=6 * each)
    for word in "xyz":
        assert [drafts.add(word, (row, None)) for row in rows[:2]] == [1, 2]
    # The oldest try is forgotten, and no more than is needed.
    assert [drafts.add("new", (row, None)) for row in rows[:2]] == [1, 2]
    with pytest.raises(ServerUnavailable, match="segments of other films"):
        drafts.add("other", (other[0], None))
    for word in "yz":
        assert drafts.add(word, (rows[2], None)) == [(row, None) for row in rows]
    assert drafts.add("x", (rows[2], None)) == 1


def test_what_a_request_says_of_segments_is_read_as_it_was_written() -> None:
    piece = Piece(1.5, 90.0, 25.0, 400, 0, 0, (0, 65536, 0, -65536, 0, 0, 0, 0, 1073741824))
    parts = [
        Part(
            n,
            "word",
            Cutting(30, 5),
            Segment(n, 9, 5.0 * n, 5.0 * n + 10),
            piece=replace(piece, first=10 * n, after=10 * n + 9),
        )
        for n in range(3)
    ]
    for asked in (CutRequest(Cutting(30, 5)), CutRequest(Cutting(30, 5), parts)):
        assert CutRequest.parse(asked.json().encode()) == asked
    assert [part.number for part in CutRequest(Cutting(30)).all(4, "word")] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"cutting":{"seconds":0}}',
        b'{"cutting":{"seconds":30,"more":1}}',
        b'{"cutting":{"seconds":30},"draft":"x"}',
        b'{"cutting":{"seconds":30},"segments":[[0,1,0,1]]}',
        b'{"cutting":{"seconds":30},"draft":"x","segments":[[0,5000,0,1]]}',
        b'{"cutting":{"seconds":30},"draft":"x","segments":[[0,2,0,1],[0,2,0,1]]}',
        b'{"cutting":{"seconds":30},"draft":"x","segments":[[0,2,0]]}',
        b'{"cutting":{"seconds":30},"draft":"x","piece":{"offset":0},"segments":[[0,2,0,1,0,1]]}',
        b'{"cutting":{"seconds":30},"draft":"x","segments":[7]}',
        b"[" * 100_000,
        b'{"cutting":{"seconds":30}}' + b" " * (1 << 18),
    ],
)
def test_what_can_t_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        CutRequest.parse(text)
