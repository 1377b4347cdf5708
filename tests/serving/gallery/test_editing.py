"""Metadata that changes and videos that go: what is kept, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import GalleryError, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery import editing
from framesift.serving.gallery.editing import Change, edit, read_changes
from framesift.serving.gallery.rows import GalleryEntry, column
from framesift.serving.gallery.store import Gallery
from framesift.serving.gallery.verify import verify

MakeEntry = Callable[..., GalleryEntry]


def test_a_change_keeps_everything_else(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ["a", "it's", "c", "d"]
    entries = {id_: make_entry(id_, seed=n, source=f"/{n}", metadata='{"x":1}') for n, id_ in enumerate(ids)}
    with Gallery.open(folder, manifest) as gallery:
        first = gallery.add(list(entries.values()))
        # As with records of which few fit into memory.
        monkeypatch.setattr(editing, "_AT_ONCE", 1)
        edited = edit(
            gallery,
            {
                "it's": Change(metadata={"y": [1, "ü"]}, merge=True),
                "c": Change(metadata={}),
                "d": Change(delete=True),
                "gone": Change(metadata={}),
                "nor": Change(delete=True),
            },
        )
        assert edited.present == {"it's", "c", "d"}
        assert edited.commit.count == 3
        assert edited.commit.version > first.version
        known = gallery.describe([*ids, "gone"])
        assert {id_: known[id_].metadata for id_ in known} == {
            "a": '{"x":1}',
            "it's": '{"x":1,"y":[1,"ü"]}',
            "c": "{}",
        }
        digests = gallery.lookup(ids).digests
        reader = gallery.reader()
        assert not verify(reader, lambda rows: None)
        for batch in reader.batches([*entries["a"].tensors, "source"], -1):
            for row, id_ in enumerate(batch.column("id").to_pylist()):
                assert digests[id_] == entries[id_].digest
                assert batch.column("source")[row].as_py() == entries[id_].source
                for name, values in entries[id_].tensors.items():
                    kept = column(batch, name, values.shape)[row]
                    np.testing.assert_array_equal(kept, values.astype(np.float16))


def test_what_would_break_the_rules_changes_nothing(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        version = gallery.add([make_entry("b"), make_entry("a", metadata=f'{{"x":"{"y" * 60_000}"}}')]).version
        for change in (Change(metadata={"z": "y" * 10_000}, merge=True), Change(metadata={"x": "y" * 70_000})):
            with pytest.raises(InvalidRequest, match="limit is 65536"):
                edit(gallery, {"a": change})
        with pytest.raises(InvalidRequest, match="white space"):
            edit(gallery, {"a": Change(delete=True), " ": Change(delete=True)})
        with pytest.raises(InvalidRequest, match="limit is 65536"):
            edit(gallery, {"b": Change(delete=True), "a": Change(metadata={"z": "y" * 10_000}, merge=True)})
        # As with records of which few fit into memory.
        monkeypatch.setattr(editing, "_AT_ONCE", 1)
        with pytest.raises(InvalidRequest, match="limit is 65536"):
            edit(gallery, {"b": Change(metadata={}), "a": Change(metadata={"x": "y" * 70_000})})
        assert gallery.version == version
        assert gallery.count == 2
        assert edit(gallery, {}).commit.count == 2


def test_changes_are_refused_together() -> None:
    with pytest.raises(InvalidRequest, match="limit is 65536"):
        read_changes(["a", "b"], ['{"delete": true}', json.dumps({"metadata": {"x": "y" * 70_000}})])
    with pytest.raises(InvalidRequest, match="comes twice"):
        read_changes(["a", "a"], ['{"delete": true}', '{"metadata": {}}'])


def test_a_record_that_changed_on_disk_is_not_written_again(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a")])
    (file,) = folder.glob("videos.lance/data/*")
    raw = bytearray(file.read_bytes())
    place = raw.index(np.asarray(make_entry("a").tensors["mean_embedding"], np.float16).tobytes())
    raw[place] ^= 1
    file.write_bytes(raw)
    with Gallery.existing(folder) as gallery, pytest.raises(GalleryError, match="have changed on disk"):
        edit(gallery, {"a": Change(metadata={})})


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", '{"delete": false}', '{"delete": 1}', '{"metadata": []}', '{"merge": null}'),
        *('{"delete": true, "metadata": {}}', '{"remove": true}', "[" * 100_000),
    ],
)
def test_what_is_no_change_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="change"):
        Change.parse(text)
