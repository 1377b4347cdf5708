"""The part of the gallery in memory that a search names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.past import at
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.view import View

MakeEntry = Callable[..., GalleryEntry]


def held(view: View, ids: list[str], known: dict[str, GalleryEntry]) -> None:
    """Whether a part holds just these videos, as they were indexed."""
    assert view.named
    assert view.chosen is not None
    np.testing.assert_array_equal(view.rows(), view.chosen)
    assert ([view.ids[row] for row in view.chosen.tolist()], view.count) == (ids, len(ids))
    for row, id_ in zip(view.chosen.tolist(), ids, strict=True):
        for name, array in view.tensors.items():
            np.testing.assert_array_equal(array[row], known[id_].tensors[name].astype(np.float16))
        np.testing.assert_array_equal(view.timestamps[row], known[id_].timestamps)


def test_candidates_come_in_the_order_of_indexing_whatever_else_changes(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    known = {f"v{n}": make_entry(f"v{n}") for n in range(700)}
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(list(known.values()))
        snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS, MEAN_EMBEDDING])
        before = snapshot.view
        held(snapshot.only(before, ["v9", "v2", "v9", "v400"]), ["v2", "v9", "v400"], known)
        gallery.remove(["v2"])
        gallery.add([make_entry("v9", seed=5), make_entry("new")])
        snapshot.refresh()
        # Whoever holds the view from before still finds what it holds, and no more.
        held(snapshot.only(before, ["v9", "v2"]), ["v2", "v9"], known)
        with pytest.raises(InvalidRequest, match="'new'"):
            snapshot.only(before, ["new"])
        now = known | {"v9": make_entry("v9", seed=5), "new": make_entry("new")}
        held(snapshot.only(snapshot.view, ["new", "v9", "v400"]), ["v400", "v9", "new"], now)
        with pytest.raises(InvalidRequest, match="no video 'v2', which the search names"):
            snapshot.only(snapshot.view, ["v2"])
        gallery.remove([f"v{n}" for n in range(10, 400)])
        snapshot.refresh()
        # Rows of removed videos were dropped, so all others have moved.
        held(snapshot.only(before, ["v300", "v9"]), ["v9", "v300"], known)
        held(snapshot.only(snapshot.view, ["v400", "new"]), ["v400", "new"], now)


class Ids(list):
    """Ids that count how often one was read."""

    read = 0

    def __getitem__(self, place):
        self.read += 1
        return super().__getitem__(place)

    def __iter__(self):
        raise AssertionError("all ids were read")


def test_whatever_is_named_costs_no_look_at_all_others(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(400)])
        snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS, MEAN_EMBEDDING])
        first = snapshot.view.version
        gallery.remove(["v1"])
        for seed in (1, 2):
            gallery.add([make_entry("v2", seed=seed)])
            snapshot.refresh()
        gallery.add([make_entry(f"w{n}") for n in range(400)])
        snapshot.refresh()
        ids = Ids(snapshot.view.ids)
        view = replace(snapshot.view, ids=ids)
        snapshot.only(view, ["v3"])
        ids.read = 0
        with pytest.raises(InvalidRequest, match="no video 'absent'"):
            snapshot.only(view, ["v3", "absent"])
        with pytest.raises(InvalidRequest, match="no video 'v1'"):
            snapshot.only(view, ["v1", "v3"])
        # At an earlier version, as a page that goes on has it, with what was replaced since and without what came.
        before = at(view, first, snapshot.named)
        part, missing = snapshot.among(before, ["v2", "w5", "v399", "absent", "v1"])
        assert (part.rows().tolist(), missing) == ([2, 399], ["w5", "absent", "v1"])
        assert snapshot.among(view, ["v2", "v399"])[0].rows().tolist() == [399, 401]
        assert ids.read < 20
