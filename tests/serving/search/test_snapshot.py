"""The gallery in memory follows the gallery on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.snapshot import POLL_S, Snapshot
from framesift.serving.search.view import View

from ...waiting import until

MakeEntry = Callable[..., GalleryEntry]

TENSORS = [FRAME_EMBEDDINGS, MEAN_EMBEDDING]


def _content(view: View) -> dict[str, tuple[bytes, ...]]:
    """What a view holds for every id, in the order of its rows."""
    dead = set(view.dead.tolist())
    rows = [row for row in range(len(view.timestamps)) if row not in dead]
    assert len(rows) == view.count
    arrays = [*(view.tensors[name] for name in sorted(view.tensors)), view.timestamps]
    content = {view.ids[row]: tuple(array[row].tobytes() for array in arrays) for row in rows}
    assert len(content) == len(rows)
    return content


def _of(entries: list[GalleryEntry]) -> dict[str, tuple[bytes, ...]]:
    return {
        entry.id: (
            *(entry.tensors[name].astype(np.float16).tobytes() for name in sorted(entry.tensors)),
            np.asarray(entry.timestamps, np.float32).tobytes(),
        )
        for entry in entries
    }


def test_a_snapshot_holds_every_record_in_the_order_of_indexing(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    entries = [make_entry(f"v{n}") for n in reversed(range(50))]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(entries[:30])
        gallery.add(entries[30:])
        snapshot = Snapshot(gallery.reader(), TENSORS)
        assert _content(snapshot.view) == _of(entries)
        assert list(_content(snapshot.view)) == [entry.id for entry in entries]
        assert snapshot.view.version == gallery.version


def test_a_snapshot_follows_every_kind_of_change(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    random = np.random.default_rng(3)
    known: dict[str, GalleryEntry] = {}
    with Gallery.open(folder, manifest) as gallery:
        snapshot = Snapshot(gallery.reader(), TENSORS)
        assert snapshot.view.count == 0
        for round_ in range(25):
            for _ in range(int(random.integers(1, 4))):
                ids = [f"v{n}" for n in random.choice(40, size=int(random.integers(1, 9)), replace=False)]
                if random.random() < 0.35:
                    gallery.remove(ids)
                    known = {id_: entry for id_, entry in known.items() if id_ not in ids}
                else:
                    entries = [make_entry(id_, seed=round_) for id_ in ids]
                    gallery.add(entries)
                    for entry in entries:
                        known.pop(entry.id, None)
                        known[entry.id] = entry
            snapshot.refresh()
            assert _content(snapshot.view) == _of(list(known.values()))
            assert list(_content(snapshot.view)) == list(known)
        fresh = Snapshot(gallery.reader(), TENSORS)
        assert _content(fresh.view) == _content(snapshot.view)


def test_a_removal_that_is_made_good_at_once_is_noticed(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a"), make_entry("last")])
        snapshot = Snapshot(gallery.reader(), TENSORS)
        gallery.remove(["last"])
        gallery.add([make_entry("b")])
        snapshot.refresh()
        assert list(_content(snapshot.view)) == ["a", "b"]


def test_a_view_that_is_held_does_not_change(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    entries = [make_entry(f"v{n}") for n in range(20)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(entries)
        snapshot = Snapshot(gallery.reader(), TENSORS)
        view = snapshot.view
        for seed in range(1, 30):
            gallery.add([make_entry(f"v{n}", seed=seed) for n in range(30)])
            snapshot.refresh()
        gallery.remove(["v3"])
        snapshot.refresh()
        assert _content(view) == _of(entries)
        assert not view.tensors[FRAME_EMBEDDINGS].flags.writeable


def test_rows_of_removed_videos_are_given_back(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        entries = [make_entry(f"v{n}") for n in range(600)]
        gallery.add(entries)
        snapshot = Snapshot(gallery.reader(), TENSORS)
        gallery.remove([f"v{n}" for n in range(300)])
        snapshot.refresh()
        assert len(snapshot.view.timestamps) == snapshot.view.count == 300
        gallery.add([make_entry("new")])
        snapshot.refresh()
        assert _content(snapshot.view) == _of([*entries[300:], make_entry("new")])


def test_replaced_videos_are_swept_out(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    entries = [make_entry(f"v{n}") for n in range(400)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(entries)
        snapshot = Snapshot(gallery.reader(), TENSORS)
        rows = []
        for seed in range(1, 12):
            entries = [make_entry(f"v{n}", seed=seed) for n in range(400)][:90] + entries[90:]
            gallery.add(entries[:90])
            snapshot.refresh()
            rows.append(len(snapshot.view.timestamps))
        assert max(rows) < 400 + 256 + 90
        assert _content(snapshot.view) == _of(entries)


def test_a_new_video_is_looked_for_four_times_a_second(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    # So that with a read it is found within a second, which `framesift bench gallery` measures.
    assert POLL_S <= 0.25
    with Gallery.open(folder, manifest) as gallery, Snapshot(gallery.reader(), TENSORS) as snapshot:
        assert snapshot._poll_s == POLL_S
        snapshot.start()
        for n in range(3):
            acknowledged = gallery.add([make_entry(f"v{n}")])
            until(lambda version=acknowledged.version: snapshot.view.version >= version)
            assert f"v{n}" in _content(snapshot.view)


def test_a_gallery_that_can_not_be_read_leaves_the_last_view(
    folder: Path,
    manifest: Manifest,
    make_entry: MakeEntry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        Gallery.open(folder, manifest) as gallery,
        Snapshot(gallery.reader(), TENSORS, poll_s=0.02) as snapshot,
        caplog.at_level(logging.WARNING),
    ):
        gallery.add([make_entry("a")])
        snapshot.refresh()
        before = _content(snapshot.view)
        data = folder / "videos.lance" / "data"
        kept = set(data.iterdir())
        gallery.add([make_entry("b")])
        added = next(file for file in data.iterdir() if file not in kept)
        raw = added.read_bytes()
        added.write_bytes(raw[:40])
        with pytest.raises(GalleryError):
            snapshot.refresh()
        looks, refresh = list[None](), snapshot.refresh

        def counted() -> None:
            looks.append(None)
            refresh()

        monkeypatch.setattr(snapshot, "refresh", counted)
        snapshot.start()
        until(lambda: len(looks) > 5)
        assert _content(snapshot.view) == before
        warnings = [record for record in caplog.records if "searches go on with version" in record.getMessage()]
        assert len(warnings) == 1


def test_only_tensors_of_the_gallery_can_be_loaded(folder: Path, manifest: Manifest) -> None:
    with Gallery.open(folder, manifest) as gallery, pytest.raises(GalleryError, match=r"not \['tokens'\]"):
        Snapshot(gallery.reader(), ["tokens"])
