"""The part of the gallery in memory that a search names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search import named
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


def test_an_id_that_nobody_has_costs_no_look_at_all_others(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(20)])
        snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS, MEAN_EMBEDDING])
        monkeypatch.setattr(named, "_rows_of", lambda view: pytest.fail("all ids were read"))
        with pytest.raises(InvalidRequest, match="no video 'absent'"):
            snapshot.only(snapshot.view, ["v1", "absent"])
        gallery.remove(["v1"])
        snapshot.refresh()
        with pytest.raises(InvalidRequest, match="no video 'v1'"):
            snapshot.only(snapshot.view, ["v1", "v2"])
