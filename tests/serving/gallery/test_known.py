"""Ids in memory: they say what the table's index says, whatever happens to the table."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery import known
from framesift.serving.gallery.known import Known
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery

MakeEntry = Callable[..., GalleryEntry]
NAMES = [f"v{number}.mp4" for number in range(120)]


def _few_hashes(ids: Any) -> tuple[Any, Any]:
    """Of which many are the same, but not both."""
    one, other = np.array([[hash(id_) % 5, hash(id_)] for id_ in ids], np.int64).reshape(-1, 2).T
    return one, other


@pytest.mark.parametrize("hashes", [known._hashes, _few_hashes], ids=["hashes", "few hashes"])
def test_they_are_those_of_the_index_through_changes_and_merges(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch, hashes: Any
) -> None:
    monkeypatch.setattr(known, "_hashes", hashes)
    chance = random.Random(3)
    with Gallery.open(folder, manifest) as gallery:
        held, reader = Known(), gallery.reader()
        for step in range(24):
            some = chance.sample(NAMES, 9)
            if step % 4 == 3:
                gallery.remove(some)
            else:
                gallery.add([make_entry(id_, seed=step) for id_ in some])
            if step % 7 == 6:
                gallery.compact()
            if chance.random() < 0.7:
                reader.advance()
                held.follow(reader)
                assert held.digests(NAMES) == reader.digests(NAMES)
        # Nothing that is gone is kept for long.
        assert sum(map(len, held._runs)) < 2 * gallery.count


def test_of_a_film_in_segments_there_is_one(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    digest = hashlib.sha256(b"film").digest()
    parts = [make_entry("film", segment=Segment(n, 3, n, n + 1.0), digest=digest, duration=3.0) for n in range(3)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([*parts, make_entry("whole")])
        held, reader = Known(), gallery.reader()
        held.follow(reader)
        assert held.digests(["film", "whole", "absent"]) == reader.digests(["film", "whole", "absent"])
        assert sum(map(len, held._runs)) == 2


def test_a_gallery_asked_for_many_ids_has_them_in_memory(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in NAMES])
        assert gallery.lookup(NAMES[:3]).digests.keys() == set(NAMES[:3])
        assert not gallery._known._runs
        assert gallery.lookup([*NAMES, "absent"]).digests.keys() == set(NAMES)
        assert gallery._known._runs
        gallery.remove(NAMES[:5])
        gallery.add([make_entry(NAMES[7], seed=1)])
        found = gallery.lookup(NAMES)
        assert found.digests.keys() == set(NAMES[5:])
        assert found.digests[NAMES[7]] == make_entry(NAMES[7], seed=1).digest
        assert (found.count, found.version) == (115, gallery.version)


def test_of_an_id_whose_data_have_changed_on_disk_an_error_tells_and_others_are_found(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in NAMES])
    (file,) = folder.glob("videos.lance/data/*")
    raw = file.read_bytes()
    place = raw.index(make_entry(NAMES[9]).digest)
    file.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    with Gallery.existing(folder) as gallery:
        others = [id_ for id_ in NAMES if id_ != NAMES[9]]
        for _ in range(2):
            assert gallery.lookup(others).digests.keys() == set(others)
            with pytest.raises(GalleryError, match=r"changed on disk.*v9\.mp4"):
                gallery.lookup(NAMES)
