"""Facts in memory follow the gallery, and pages of a list hold together while it changes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import GalleryError, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS
from framesift.serving.gallery.editing import Change, edit
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search import snapshot as snapshots
from framesift.serving.search.facts import Facts
from framesift.serving.search.listing import page
from framesift.serving.search.past import MARK_BYTES, Cursor, at
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.view import View

MakeEntry = Callable[..., GalleryEntry]
MARK = b"m" * MARK_BYTES


@pytest.fixture
def gallery(folder: Path, manifest: Manifest) -> Iterator[Gallery]:
    with Gallery.open(folder, manifest) as opened:
        yield opened


def followed(gallery: Gallery) -> tuple[Facts, Snapshot]:
    facts = Facts(gallery.reader())
    facts.follow(0)
    return facts, Snapshot(gallery.reader(), [FRAME_EMBEDDINGS], facts=facts)


def known(facts: Facts, view: View) -> dict[str, str]:
    rows = view.rows()
    found = facts.of(view.numbers[rows].tolist())
    assert all(fact is not None and fact.id == view.ids[row] for fact, row in zip(found, rows.tolist(), strict=True))
    return {fact.id: fact.metadata for fact in found if fact is not None}


def test_facts_are_those_of_the_table_through_every_kind_of_change(
    gallery: Gallery, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_DEAD_ROWS", 4)
    facts, snapshot = followed(gallery)
    assert facts.of([1, 2]) == [None, None]
    random_ = random.Random(0)
    wanted: dict[str, str] = {}
    for turn in range(25):
        ids = [f"v{random_.randrange(30)}" for _ in range(random_.choice((1, 1, 5)))]
        kind = random_.choice(("add", "add", "change", "remove", "compact"))
        if kind == "add":
            gallery.add([make_entry(id_, seed=turn, metadata=f'{{"t":{turn}}}') for id_ in ids])
            wanted |= dict.fromkeys(ids, f'{{"t":{turn}}}')
        elif kind == "change":
            present = edit(gallery, {id_: Change(metadata={"c": turn}) for id_ in ids}).present
            assert present == wanted.keys() & set(ids)
            wanted |= dict.fromkeys(present, f'{{"c":{turn}}}')
        elif kind == "remove":
            gallery.remove(ids)
            wanted = {id_: text for id_, text in wanted.items() if id_ not in ids}
        else:
            gallery.compact()
        snapshot.refresh()
        assert known(facts, snapshot.view) == wanted
    rows = sum(len(piece.numbers) for piece in facts.pieces)
    # What was swept is forgotten one sweep later; there are few pieces, whatever came.
    assert rows < len(snapshot.view.numbers) + 30
    assert len(facts.pieces) <= 6


def test_damaged_facts_are_not_told(folder: Path, gallery: Gallery, make_entry: MakeEntry) -> None:
    gallery.add([make_entry("a", metadata='{"colour":"turquoise"}')])
    (file,) = folder.glob("videos.lance/data/*")
    file.write_bytes(file.read_bytes().replace(b"turquoise", b"turquoisf"))
    facts = Facts(gallery.reader())
    with pytest.raises(GalleryError, match="changed on disk"):
        facts.follow(0)
    assert not facts.read


def every_page(facts: Facts, snapshot: Snapshot, top: int, between: Callable[[], None]) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        view = snapshot.view if cursor is None else at(snapshot.view, cursor.version, snapshot.named)
        told = json.loads(page(view, facts, top, MARK, cursor))
        ids += [video["id"] for video in told["videos"]]
        if told["next"] is None:
            return ids
        cursor = Cursor.read(told["next"], MARK)
        between()


def test_pages_of_a_list_neither_repeat_nor_miss_a_video(gallery: Gallery, make_entry: MakeEntry) -> None:
    facts, snapshot = followed(gallery)
    random_ = random.Random(1)
    for round_ in range(3):
        gallery.add([make_entry(f"{round_} {n}") for n in range(12)])
        snapshot.refresh()
        before = [snapshot.view.ids[row] for row in snapshot.view.rows().tolist()]
        removed: set[str] = set()

        def change(before: list[str] = before, removed: set[str] = removed) -> None:
            gallery.add([make_entry(f"new {random_.random()}")])
            replaced, gone = random_.sample(sorted(set(before) - removed), 2)
            edit(gallery, {replaced: Change(metadata={"again": True})})
            gallery.remove([gone])
            removed.add(gone)
            snapshot.refresh()

        found = every_page(facts, snapshot, random_.choice((1, 4)), change)
        assert len(found) == len(set(found))
        assert set(found) <= set(before)
        # What is missing was removed before its page came.
        assert set(before) - set(found) <= removed
        assert found == [id_ for id_ in before if id_ in set(found)]


def test_a_video_that_is_replaced_before_its_facts_are_read_is_listed_all_the_same(
    gallery: Gallery, make_entry: MakeEntry
) -> None:
    _, snapshot = followed(gallery)
    gallery.add([make_entry(id_) for id_ in ("changed", "gone", "left")])
    snapshot.refresh()
    late = Facts(gallery.reader())
    edit(gallery, {"changed": Change(metadata={"again": True})})
    gallery.remove(["gone"])
    late.follow(snapshot.view.version)
    told = json.loads(page(snapshot.view, late, 10, MARK))["videos"]
    assert [(video["id"], video["metadata"]) for video in told] == [("changed", {"again": True}), ("left", {})]
    assert [*every_page(late, snapshot, 1, lambda: None)] == ["changed", "left"]


def test_an_earlier_version_is_told_until_its_rows_are_swept(
    gallery: Gallery, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add([make_entry(f"v{n}") for n in range(8)])
    _, snapshot = followed(gallery)
    first = snapshot.view
    gallery.add([make_entry("v0", seed=1), make_entry("new")])
    gallery.remove(["v1"])
    snapshot.refresh()
    past = at(snapshot.view, first.version, snapshot.named)
    assert [past.ids[row] for row in past.rows().tolist()] == ["v0", "v2", "v3", "v4", "v5", "v6", "v7"]
    assert (past.count, past.version) == (7, first.version)
    np.testing.assert_array_equal(
        past.tensors[FRAME_EMBEDDINGS][past.rows()], first.tensors[FRAME_EMBEDDINGS][[0, 2, 3, 4, 5, 6, 7]]
    )
    for version in (first.version - 1, snapshot.view.version + 1):
        with pytest.raises(InvalidRequest, match="have expired, .* begin with the first page"):
            at(snapshot.view, version, snapshot.named)
    monkeypatch.setattr(snapshots, "_DEAD_ROWS", 0)
    gallery.remove(["v2"])
    snapshot.refresh()
    assert not len(snapshot.view.dead)
    with pytest.raises(InvalidRequest, match="expired"):
        at(snapshot.view, first.version, snapshot.named)
    assert at(snapshot.view, snapshot.view.version, snapshot.named) is snapshot.view


@pytest.mark.parametrize("shown", [[], [5], list(range(0, 4096 << 20, 1 << 20))], ids=["none", "one", "many"])
def test_a_cursor_is_read_as_it_was_written(shown: list[int]) -> None:
    made = Cursor(7, MARK, 10, np.array(shown, np.int64))
    found = Cursor.read(made.text(), MARK)
    assert (found.version, found.mark, found.top, found.shown.tolist()) == (7, MARK, 10, shown)
    with pytest.raises(InvalidRequest, match="of another search"):
        Cursor.read(made.text(), b"n" * MARK_BYTES)


def test_what_is_no_cursor_is_refused() -> None:
    good = Cursor(7, MARK, 10, np.array([3, 9], np.int64)).text()
    backwards = Cursor(7, MARK, 10, np.array([9, 3], np.int64)).text()
    many = Cursor(7, MARK, 10, np.arange(4097, dtype=np.int64)).text()
    random_ = random.Random(0)
    noise = [bytes(random_.randrange(33, 127) for _ in range(random_.randrange(60))).decode() for _ in range(100)]
    for text in ("", "A", "é", good[:-1], good + "A", good[:-4], backwards, many, *noise):
        with pytest.raises(InvalidRequest, match="cursor"):
            Cursor.read(text, MARK)
