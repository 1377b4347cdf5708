"""The gallery in memory follows the gallery on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.kernels.lanes import read_rows
from framesift.serving.gallery.layout import GalleryRecord
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.columns import Columns
from framesift.serving.search.snapshot import Snapshot, View

MakeRecord = Callable[..., GalleryRecord]

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


def _of(records: list[GalleryRecord]) -> dict[str, tuple[bytes, ...]]:
    return {
        record.id: (
            *(record.tensors[name].astype(np.float16).tobytes() for name in sorted(record.tensors)),
            np.asarray(record.timestamps, np.float32).tobytes(),
        )
        for record in records
    }


def test_a_snapshot_holds_every_record_in_the_order_of_indexing(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    records = [make_record(f"v{n}") for n in reversed(range(50))]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(records[:30])
        gallery.add(records[30:])
        snapshot = Snapshot(gallery.reader(), TENSORS)
        assert _content(snapshot.view) == _of(records)
        assert list(_content(snapshot.view)) == [record.id for record in records]
        assert snapshot.view.version == gallery.version


def test_a_snapshot_follows_every_kind_of_change(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    random = np.random.default_rng(3)
    known: dict[str, GalleryRecord] = {}
    with Gallery.open(folder, manifest) as gallery:
        snapshot = Snapshot(gallery.reader(), TENSORS)
        assert snapshot.view.count == 0
        for round_ in range(25):
            for _ in range(int(random.integers(1, 4))):
                ids = [f"v{n}" for n in random.choice(40, size=int(random.integers(1, 9)), replace=False)]
                if random.random() < 0.35:
                    gallery.remove(ids)
                    known = {id_: record for id_, record in known.items() if id_ not in ids}
                else:
                    records = [make_record(id_, seed=round_) for id_ in ids]
                    gallery.add(records)
                    for record in records:
                        known.pop(record.id, None)
                        known[record.id] = record
            snapshot.refresh()
            assert _content(snapshot.view) == _of(list(known.values()))
            assert list(_content(snapshot.view)) == list(known)
        fresh = Snapshot(gallery.reader(), TENSORS)
        assert _content(fresh.view) == _content(snapshot.view)


def test_a_removal_that_is_made_good_at_once_is_noticed(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_record("a"), make_record("last")])
        snapshot = Snapshot(gallery.reader(), TENSORS)
        gallery.remove(["last"])
        gallery.add([make_record("b")])
        snapshot.refresh()
        assert list(_content(snapshot.view)) == ["a", "b"]


def test_a_view_that_is_held_does_not_change(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    records = [make_record(f"v{n}") for n in range(20)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(records)
        snapshot = Snapshot(gallery.reader(), TENSORS)
        view = snapshot.view
        for seed in range(1, 30):
            gallery.add([make_record(f"v{n}", seed=seed) for n in range(30)])
            snapshot.refresh()
        gallery.remove(["v3"])
        snapshot.refresh()
        assert _content(view) == _of(records)
        assert not view.tensors[FRAME_EMBEDDINGS].flags.writeable


def test_rows_of_removed_videos_are_given_back(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    with Gallery.open(folder, manifest) as gallery:
        records = [make_record(f"v{n}") for n in range(600)]
        gallery.add(records)
        snapshot = Snapshot(gallery.reader(), TENSORS)
        gallery.remove([f"v{n}" for n in range(300)])
        snapshot.refresh()
        assert len(snapshot.view.timestamps) == snapshot.view.count == 300
        gallery.add([make_record("new")])
        snapshot.refresh()
        assert _content(snapshot.view) == _of([*records[300:], make_record("new")])


def test_replaced_videos_are_swept_out(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    records = [make_record(f"v{n}") for n in range(400)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(records)
        snapshot = Snapshot(gallery.reader(), TENSORS)
        rows = []
        for seed in range(1, 12):
            records = [make_record(f"v{n}", seed=seed) for n in range(400)][:90] + records[90:]
            gallery.add(records[:90])
            snapshot.refresh()
            rows.append(len(snapshot.view.timestamps))
        assert max(rows) < 400 + 256 + 90
        assert _content(snapshot.view) == _of(records)


def test_a_new_video_is_seen_within_a_second_of_its_acknowledgement(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with Gallery.open(folder, manifest) as gallery, Snapshot(gallery.reader(), TENSORS) as snapshot:
        snapshot.start()
        for n in range(3):
            acknowledged = gallery.add([make_record(f"v{n}")])
            start = time.monotonic()
            while snapshot.view.version < acknowledged.version:
                assert time.monotonic() - start < 1.0
                time.sleep(0.005)
            assert f"v{n}" in _content(snapshot.view)


def test_a_gallery_that_can_not_be_read_leaves_the_last_view(
    folder: Path, manifest: Manifest, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Gallery.open(folder, manifest) as gallery,
        Snapshot(gallery.reader(), TENSORS, poll_s=0.02) as snapshot,
        caplog.at_level(logging.WARNING),
    ):
        gallery.add([make_record("a")])
        snapshot.refresh()
        before = _content(snapshot.view)
        data = folder / "videos.lance" / "data"
        kept = set(data.iterdir())
        gallery.add([make_record("b")])
        added = next(file for file in data.iterdir() if file not in kept)
        raw = added.read_bytes()
        added.write_bytes(raw[:40])
        with pytest.raises(GalleryError):
            snapshot.refresh()
        snapshot.start()
        time.sleep(0.3)
        assert _content(snapshot.view) == before
        warnings = [record for record in caplog.records if "searches go on with version" in record.getMessage()]
        assert len(warnings) == 1


def test_only_tensors_of_the_gallery_can_be_loaded(folder: Path, manifest: Manifest) -> None:
    with Gallery.open(folder, manifest) as gallery, pytest.raises(GalleryError, match=r"not \['tokens'\]"):
        Snapshot(gallery.reader(), ["tokens"])


def test_columns_keep_what_views_show_while_they_grow_and_reorder() -> None:
    columns = Columns({"x": (2,), "n": ()}, {"x": np.float16, "n": np.int64})
    expected = np.arange(400, dtype=np.float16).reshape(200, 2)
    views = []
    for n in range(0, 200, 8):
        columns.append({"x": expected[n : n + 8][::-1], "n": np.arange(n, n + 8)[::-1]})
        columns.reorder(n, np.arange(8)[::-1])
        views.append(columns.views())
    for n, view in enumerate(views, start=1):
        np.testing.assert_array_equal(view["x"], expected[: 8 * n])
        np.testing.assert_array_equal(view["n"], np.arange(8 * n))
    columns.truncate(5)
    assert len(columns.views()["n"]) == 5


def test_kept_columns_leave_out_rows_and_have_room() -> None:
    shapes = {"x": (2,), "tables": (5,)}
    columns = Columns(shapes, {"x": np.float16, "tables": np.float32}, lanes={"tables": 16})
    rows = 3000
    values = {
        "x": np.arange(2 * rows, dtype=np.float16).reshape(rows, 2),
        "tables": np.random.default_rng().standard_normal((rows, 5), np.float32),
    }
    columns.append(values)
    live = np.random.default_rng().random(rows) < 0.7
    count = int(live.sum())
    kept = columns.kept(live, count + 100)
    before = kept.views()
    np.testing.assert_array_equal(before["x"], values["x"][live])
    np.testing.assert_array_equal(read_rows(before["tables"], np.arange(count)), values["tables"][live])
    kept.append({name: array[:100] for name, array in values.items()})
    # There was room, so what was there has not moved.
    assert all(np.shares_memory(before[name], array) for name, array in kept.views().items())
    np.testing.assert_array_equal(kept.views()["x"][count:], values["x"][:100])
    np.testing.assert_array_equal(columns.views()["x"], values["x"])


def test_dropped_columns_give_their_memory_back() -> None:
    rows = 50_000
    live = np.ones(rows, np.bool_)
    columns = Columns({"x": (100,)}, {"x": np.float32})
    columns.append({"x": np.ones((rows, 100), np.float32)})
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        columns = columns.kept(live, 2 * rows)
    assert psutil.Process().memory_info().rss - before < 0.5 * rows * 400
