"""The gallery's promises to one writer: upserts, removals, refusals, damage."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from framesift.export.bundle.errors import GalleryError, GalleryMismatch, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.serving.gallery.numbering import MAX_BATCH, first_number
from framesift.serving.gallery.rows import GalleryEntry, column
from framesift.serving.gallery.store import Gallery
from framesift.serving.gallery.table import open_table

MakeEntry = Callable[..., GalleryEntry]

STRANGE_IDS = ["it's", "b\\'c", "%_", "a b/é☃.mp4", '"q"', "--", "');DROP", "𝄞"]


def test_what_was_added_is_read_back_in_float16(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    entry = make_entry("clip.mp4", source="/films/clip.mp4", metadata='{"year": 1999}')
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([entry])
    row = next(Gallery.existing(folder).reader().batches(["source", "metadata", "duration", *entry.tensors], -1))
    assert row.column("id").to_pylist() == ["clip.mp4"]
    assert row.column("source").to_pylist() == ["/films/clip.mp4"]
    assert row.column("metadata").to_pylist() == ['{"year": 1999}']
    assert row.column("duration").to_pylist() == [3.5]
    for name, values in entry.tensors.items():
        np.testing.assert_array_equal(column(row, name, values.shape)[0], values.astype(np.float16))


def test_a_row_is_cast_once_and_kept_as_it_is(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        entry = make_entry("a")
        row = gallery.row(entry)
        assert {name: array.dtype for name, array in row.tensors.items()} == dict.fromkeys(entry.tensors, np.float16)
        assert gallery.write([row]).count == 1
        (batch,) = gallery.reader().batches(list(entry.tensors), -1)
        for name, array in row.tensors.items():
            np.testing.assert_array_equal(column(batch, name, array.shape)[0], array)


def test_some_zeros_are_kept_and_nothing_but_zeros_is_refused(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    """A word that is no word, or a frame of padding, is zeros; a whole record of them has no score."""
    entry = make_entry("a")
    some = {name: values.copy() for name, values in entry.tensors.items()}
    some[FRAME_EMBEDDINGS][1:] = 0
    none = {name: np.zeros_like(values) for name, values in entry.tensors.items()}
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([replace(entry, tensors=some)])
        with pytest.raises(InvalidRequest, match="is all zeros"):
            gallery.add([replace(entry, tensors=none)])
    (row,) = Gallery.existing(folder).reader().batches([*some], -1)
    for name, values in some.items():
        np.testing.assert_array_equal(column(row, name, values.shape)[0], values.astype(np.float16))


def test_the_same_id_again_replaces_the_record(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        first = gallery.add([make_entry("a"), make_entry("b")])
        second = gallery.add([make_entry("b", seed=1), make_entry("c")])
        assert (first.count, second.count) == (2, 3)
        assert second.version > first.version
        digests = gallery.lookup(["a", "b", "c"]).digests
        assert digests == {
            "a": make_entry("a").digest,
            "b": make_entry("b", seed=1).digest,
            "c": make_entry("c").digest,
        }


def test_of_two_records_with_one_id_in_a_batch_the_last_is_kept(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        assert gallery.add([make_entry("a"), make_entry("a", seed=1)]).count == 1
        assert gallery.lookup(["a"]).digests["a"] == make_entry("a", seed=1).digest


def test_removing_takes_only_what_is_named(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a"), make_entry("b"), make_entry("c")])
        assert gallery.remove(["a", "never there"]).count == 2
        assert gallery.remove([]).count == 2
        found = gallery.lookup(["a", "b", "c"])
        assert sorted(found.digests) == ["b", "c"]
        assert found.count == gallery.count == 2
        assert found.version == gallery.version


def test_ids_that_look_like_sql_are_only_ids(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in STRANGE_IDS])
        assert sorted(gallery.lookup(STRANGE_IDS).digests) == sorted(STRANGE_IDS)
        for left, id_ in enumerate(reversed(STRANGE_IDS)):
            assert gallery.remove([id_]).count == len(STRANGE_IDS) - 1 - left
            assert gallery.lookup([id_]).digests == {}


def test_many_ids_can_be_looked_up_at_once(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    ids = [f"v{n}" for n in range(1300)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in ids[::2]])
        assert set(gallery.lookup(ids).digests) == set(ids[::2])


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"id": ""}, "empty"),
        ({"id": " a"}, "white space"),
        ({"id": "a\nb"}, "control character"),
        ({"id": "a\u202e4pm.exe"}, r"holds a format character at character 1, U\+202E"),
        ({"id": "a\u200bb"}, "format character"),
        ({"id": "a\u2028b"}, "line separator"),
        ({"id": "a\u2029b"}, "paragraph separator"),
        ({"id": "a\ud800b"}, "UTF-8"),
        ({"source": "a\u2028b"}, "line separator"),
        ({"id": "x" * 1025}, "1025 bytes"),
        ({"source": "a\0b"}, "control character"),
        ({"metadata": "[1]"}, "must be an object"),
        ({"metadata": "{"}, "not JSON"),
        ({"metadata": '{"a": NaN}'}, "not JSON"),
        ({"metadata": '{"a": 1e999}'}, "not JSON"),
        ({"digest": b"short"}, "5 bytes"),
        ({"duration": float("nan")}, "duration"),
        ({"timestamps": np.zeros(2, np.float32)}, r"shape \(2,\), expected \(3,\)"),
        ({"timestamps": np.full(3, np.nan)}, "not finite"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_record_that_does_not_fit_is_refused_and_nothing_is_kept(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, facts: dict[str, object], said: str
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        with pytest.raises(InvalidRequest, match=said):
            gallery.add([make_entry("good"), replace(make_entry("bad"), **facts)])  # type: ignore[arg-type]
        assert gallery.count == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_what_float16_can_not_hold_is_refused(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, value: float
) -> None:
    entry = make_entry("a")
    entry.tensors[FRAME_EMBEDDINGS][1, 2] = value
    with (
        Gallery.open(folder, manifest) as gallery,
        pytest.raises(InvalidRequest, match="not finite in float16"),
    ):
        gallery.add([entry])


def test_records_of_other_tensors_or_shapes_are_refused(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    tensors = dict(make_entry("a").tensors)
    with Gallery.open(folder, manifest) as gallery:
        with pytest.raises(InvalidRequest, match=r"shape \(4, 8\), expected \(3, 8\)"):
            gallery.add([make_entry("a", tensors={**tensors, FRAME_EMBEDDINGS: np.zeros((4, 8), np.float32)})])
        del tensors[MEAN_EMBEDDING]
        with pytest.raises(InvalidRequest, match="the gallery keeps"):
            gallery.add([make_entry("a", tensors=tensors)])


def test_another_model_is_refused_with_both_names(folder: Path, manifest: Manifest) -> None:
    Gallery.open(folder, manifest).close()
    with pytest.raises(GalleryMismatch, match=r"(?s)model-a.*model-b.*index the videos again"):
        Gallery.open(folder, replace(manifest, fingerprint="model-b"))
    Gallery.open(folder, manifest).close()


def test_a_folder_without_a_gallery_is_not_opened_as_one(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no gallery"):
        Gallery.existing(tmp_path)
    table = pa.table({"id": ["a"]})
    lance.write_dataset(table, str(tmp_path / "videos.lance"))
    with pytest.raises(GalleryError, match="not made by framesift"):
        Gallery.existing(tmp_path)


def test_a_file_in_the_gallerys_place_is_named(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GalleryError, match="can't be made"):
        Gallery.open(tmp_path / "file", manifest)


@pytest.mark.parametrize("name", ["with space", "q#1%20?é", "it's"])
def test_the_folder_may_have_any_name(tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, name: str) -> None:
    with Gallery.open(tmp_path / name, manifest) as gallery:
        gallery.add([make_entry("a")])
    assert (tmp_path / name / "videos.lance").is_dir()
    assert Gallery.existing(tmp_path / name).count == 1


def test_what_a_death_during_creation_leaves_is_used(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    (folder / "videos.lance" / "_versions").mkdir(parents=True)
    (folder / "videos.lance" / "data").mkdir()
    with Gallery.open(folder, manifest) as gallery:
        assert gallery.add([make_entry("a")]).count == 1


def _garbage(path: Path) -> None:
    for file in path.glob("videos.lance/_versions/*.manifest"):
        file.write_bytes(os.urandom(300))


def _truncated(path: Path) -> None:
    for file in path.glob("videos.lance/_versions/*.manifest"):
        file.write_bytes(b"")


def _no_versions(path: Path) -> None:
    shutil.rmtree(path / "videos.lance" / "_versions")


@pytest.mark.parametrize("damage", [_garbage, _truncated, _no_versions])
def test_a_damaged_table_is_an_error_and_not_a_new_gallery(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, damage: Callable[[Path], None]
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a")])
    damage(folder)
    with pytest.raises(GalleryError, match="opening the gallery in") as caught:
        Gallery.open(folder, manifest)
    assert ".rs:" not in str(caught.value)


def test_damaged_data_is_an_error_when_it_is_read(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a")])
    for file in folder.glob("videos.lance/data/*"):
        file.write_bytes(file.read_bytes()[:50])
    gallery = Gallery.existing(folder)
    with pytest.raises(GalleryError, match="looking up"):
        gallery.lookup(["a"])
    with pytest.raises(GalleryError, match="reading the gallery"):
        list(gallery.reader().batches([FRAME_EMBEDDINGS], -1))


def test_a_gallery_that_has_gone_is_not_made_anew(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="are gone"):
        Gallery.open(tmp_path / "absent", manifest, create=False)
    assert not (tmp_path / "absent").exists()


def test_no_sequence_number_comes_twice_whatever_is_removed_and_whoever_writes_next(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    seen: list[int] = []
    for round_ in range(4):
        with Gallery.open(folder, manifest) as gallery:
            gallery.add([make_entry(f"a{round_}"), make_entry(f"b{round_}")])
            gallery.add([make_entry("again", seed=round_)])
            seen += sorted(set(gallery.reader().sequences().tolist()) - set(seen))
            gallery.remove([f"a{round_}", f"b{round_}", "again"])
            gallery.compact()
            assert gallery.count == 0
    assert len(seen) == len(set(seen)) == 12
    assert seen == sorted(seen)


def test_a_commit_has_no_more_rows_than_a_version_has_numbers() -> None:
    assert first_number(7, MAX_BATCH) + MAX_BATCH <= first_number(8, 1)
    with pytest.raises(GalleryError, match="the limit is 1048576"):
        first_number(7, MAX_BATCH + 1)


def test_a_gallery_without_an_index_gets_one_from_its_next_writer(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    """Galleries that LanceDB wrote have none."""
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a")])
        open_table(folder).drop_index("id_idx")
    with Gallery.open(folder, manifest) as gallery:
        assert gallery.lookup(["a"]).digests.keys() == {"a"}
        gallery.add([make_entry("a", seed=1), make_entry("b")])
        assert open_table(folder).describe_indices()
        assert gallery.lookup(["a"]).digests == {"a": make_entry("a", seed=1).digest}
