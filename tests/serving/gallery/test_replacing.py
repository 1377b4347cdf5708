"""Videos put in the place of others: many in one commit, all that a file holds, and whatever else is done meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery import merging
from framesift.serving.gallery.lock import exclusive
from framesift.serving.gallery.merging import all_due, index_further, merge
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import LOCK, LOCK_WAIT_S, Gallery
from framesift.serving.gallery.table import open_table, parts
from framesift.serving.gallery.verify import verify

MakeEntry = Callable[..., GalleryEntry]


def _digests(gallery: Gallery) -> list[tuple[str, bytes]]:
    """Id and digest of every row, found without the index."""
    rows = gallery.reader().table.to_table(columns=["id", "digest"]).to_pylist()
    return sorted((row["id"], row["digest"]) for row in rows)


def test_more_ids_than_one_filter_takes_are_replaced_in_one_commit(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    names = [f"it's {n}" for n in range(4200)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in names[:4150]])
        gallery.index()
        # The last of them lie where the index does not lead to.
        before = gallery.add([make_entry(id_) for id_ in [*names[4150:], "other"]])
        entries = [make_entry(id_, seed=1) for id_ in names]
        after = gallery.add(entries)
        assert (after.version, after.count) == (before.version + 1, 4201)
        wanted = {entry.id: entry.digest for entry in [*entries, make_entry("other")]}
        assert _digests(gallery) == sorted(wanted.items())
        assert gallery.reader().digests([*names, "other"]) == wanted


def test_a_file_of_which_every_video_is_replaced_is_no_part_of_the_table_any_more(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    names = [f"v{n}" for n in range(10)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in names[:5]])
        gallery.add([make_entry(id_) for id_ in names[5:]])
        gallery.index()
        earlier = gallery.reader()
        whole, part = parts(open_table(folder))
        # All of one file and some of the other.
        gallery.add([make_entry(id_, seed=1) for id_ in names[:7]])
        held = parts(open_table(folder))
        assert whole not in held
        assert {number: found.live for number, found in held.items()} == {part: 3, part + 1: 7}
        wanted = {id_: make_entry(id_, seed=int(n < 7)).digest for n, id_ in enumerate(names)}
        for step in (lambda: None, gallery.index, gallery.compact):
            step()
            assert gallery.lookup([*names, "absent"]).digests == gallery.reader().digests(names) == wanted
            assert _digests(gallery) == sorted(wanted.items())
            assert gallery.count == gallery.reader().count == 10
        # Whoever reads an earlier version has what that had.
        assert earlier.digests(names) == {id_: make_entry(id_).digest for id_ in names}
        assert earlier.count == 10
        # And all that there is, of one file and of several.
        for seed in (2, 3):
            assert gallery.add([make_entry(id_, seed=seed) for id_ in names]).count == 10
            assert len(parts(open_table(folder))) == 1
            assert gallery.reader().digests(names) == {id_: make_entry(id_, seed=seed).digest for id_ in names}


def test_a_commit_that_fails_leaves_everything_as_it_was(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise OSError("no room")

    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in "abc"])
        before, version = _digests(gallery), gallery.version
        with monkeypatch.context() as full:
            full.setattr(lance.LanceDataset, "commit", fail)
            with pytest.raises(GalleryError, match="no room"):
                gallery.add([make_entry(id_, seed=1) for id_ in "abd"])
        assert (_digests(gallery), gallery.version, gallery.count) == (before, version, 3)
        assert gallery.add([make_entry(id_, seed=2) for id_ in "abd"]).count == 4
        wanted = {"c": make_entry("c").digest, **{id_: make_entry(id_, seed=2).digest for id_ in "abd"}}
        assert _digests(gallery) == sorted(wanted.items())


def test_the_index_may_come_to_cover_the_old_rows_while_they_are_replaced(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who extends it does not wait for writers."""
    own, extended = lance.LanceDataset.commit, []

    def commit(*args: Any, **more: Any) -> Any:
        index_further(open_table(folder))
        extended.append(1)
        return own(*args, **more)

    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in "abc"])
        gallery.add([make_entry(id_) for id_ in "de"])
        monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(commit))
        gallery.add([make_entry(id_, seed=1) for id_ in "abde"])
        assert extended
        wanted = {id_: make_entry(id_, seed=int(id_ != "c")).digest for id_ in "abcde"}
        assert gallery.reader().digests("abcde") == wanted
        assert _digests(gallery) == sorted(wanted.items())


def test_a_merge_that_meets_a_replacement_of_its_rows_brings_none_of_them_back(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_BRIEF", 0)
    replaced: list[str] = []
    with Gallery.open(folder, manifest) as gallery:
        for n in range(6):
            gallery.add([make_entry(f"{n} {half}") for half in "ab"])

        @contextmanager
        def lock() -> Iterator[None]:
            # A row of a file, and then all that another has.
            ids = [["0 a"], ["1 a", "1 b"]][len(replaced) > 0]
            if ids[0] not in replaced:
                gallery.add([make_entry(id_, seed=1) for id_ in ids])
                replaced.extend(ids)
            with exclusive(folder / LOCK, LOCK_WAIT_S):
                yield

        merge(open_table(folder), all_due(parts(open_table(folder)), 1024), gallery.schema.row_bytes, lock)
        assert replaced == ["0 a", "1 a", "1 b"]
        # What was merged, and the two that came meanwhile.
        assert len(parts(open_table(folder))) == 3
        ids = [f"{n} {half}" for n in range(6) for half in "ab"]
        wanted = {id_: make_entry(id_, seed=int(id_ in replaced)).digest for id_ in ids}
        assert gallery.reader().digests(ids) == wanted
        assert _digests(gallery) == sorted(wanted.items())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_gallery_has_what_was_written_last_whatever_is_written_removed_and_merged(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, seed: int
) -> None:
    chance = random.Random(seed)
    names = [*(f"v{n}" for n in range(24)), "it's", "''", "x' OR 'a'='a", '"q"', "%_", "𝄞"]
    wanted: dict[str, list[bytes]] = {}
    with Gallery.open(folder, manifest) as gallery, Gallery.open(folder, manifest) as other:
        for step in range(40):
            who = chance.choice([gallery, other])
            some = chance.sample(names, chance.choice([1, 2, 8, len(names)]))
            match chance.choices(["add", "remove", "index", "compact"], [12, 3, 3, 2])[0]:
                case "add":
                    entries = [
                        entry for id_ in some for entry in _film(make_entry(id_, step), chance.choice([1, 1, 3]))
                    ]
                    who.add(entries)
                    for id_ in some:
                        wanted[id_] = [entry.digest for entry in entries if entry.id == id_]
                case "remove":
                    who.remove(some[:8])
                    for id_ in some[:8]:
                        wanted.pop(id_, None)
                case "index":
                    who.index()
                case "compact":
                    who.compact()
            assert _digests(gallery) == sorted((id_, digest) for id_, all_ in wanted.items() for digest in all_)
            assert gallery.lookup(names).digests == {id_: digests[0] for id_, digests in wanted.items()}
            assert len(gallery.reader().addresses(names)) == gallery.reader().rows
            # One has counted all along, and the other begins anew.
            assert gallery.count == gallery.reader().count == len(wanted)
    assert not verify(Gallery.existing(folder).reader())


def _film(entry: GalleryEntry, count: int) -> list[GalleryEntry]:
    """An entry in so many segments."""
    if count == 1:
        return [entry]
    return [
        replace(entry, duration=10.0 * count, segment=Segment(number, count, 10.0 * number, 10.0 * number + 10))
        for number in range(count)
    ]
