"""Merges: few files, the same rows, whatever writers do meanwhile, and no table written again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lance.optimize import Compaction as Rewriting

from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery import merging
from framesift.serving.gallery.compaction import Compaction
from framesift.serving.gallery.lock import exclusive
from framesift.serving.gallery.merging import Merge, all_due, due, merge, sealed_rows, written_again
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import LOCK_WAIT_S, Gallery
from framesift.serving.gallery.table import Part, drop_versions, open_table, parts
from framesift.serving.gallery.verify import verify
from framesift.serving.search.snapshot import Snapshot

from ...waiting import until

MakeEntry = Callable[..., GalleryEntry]


def _ids(gallery: Gallery) -> list[str]:
    return [id_ for batch in gallery.reader().batches([]) for id_ in batch.column("id").to_pylist()]


def _compaction(folder: Path, gallery: Gallery, retain: float = 0.0) -> Compaction:
    return Compaction(
        partial(open_table, folder),
        gallery.schema.row_bytes,
        timedelta(seconds=retain),
        partial(exclusive, folder / ".lock", LOCK_WAIT_S),
        partial(exclusive, folder / ".merging", LOCK_WAIT_S),
    )


def _part(number: int, rows: int, live: int | None = None) -> Part:
    return Part(number, f"{number}.lance", rows, rows if live is None else live, "")


def test_fragments_are_merged_by_sizes_and_again_when_much_of_them_is_removed() -> None:
    sealed = 6400
    small = [_part(n, 1) for n in range(65)]
    assert due({part.number: part for part in small[:64]}, sealed) is None
    assert due({part.number: part for part in small}, sealed) == Merge(frozenset(range(65)), 100)
    middle = {n: _part(n, 100) for n in range(9)}
    assert due(middle, sealed) == Merge(frozenset(range(9)), 800)
    assert due({**middle, 9: _part(9, 800), 10: _part(10, 5)}, sealed) == Merge(frozenset({*range(9), 10}), 800)
    assert due({n: _part(n, 800) for n in range(9)}, sealed) == Merge(frozenset(range(9)), 6400)
    whole = {n: _part(n, 6400) for n in range(900)}
    assert due(whole, sealed) is None
    # Half of a sealed one's rows are enough.
    assert due({n: _part(n, 3200) for n in range(900)}, sealed) is None
    assert due({n: _part(n, 6400, 6000) for n in range(900)}, sealed) is None
    assert due({**whole, 7: _part(7, 6400, 5000), 901: _part(901, 1)}, sealed) == Merge(frozenset({7}), 6400)
    assert all_due({**whole, 7: _part(7, 6400, 5000), 901: _part(901, 1)}, sealed).fragments == {7, 901}


def test_of_much_that_is_removed_everywhere_a_share_is_written_again_until_old_versions_go() -> None:
    held = {n: _part(n, 6400, 5000 + n) for n in range(16)}
    assert due(held, 6400) == Merge(frozenset({0, 1}), 6400)
    assert due(held, 6400, written=6400) == Merge(frozenset({0}), 6400)
    assert due(held, 6400, written=12800) is None
    # One at least, however few there are.
    assert due({n: held[n] for n in range(2)}, 6400) == Merge(frozenset({0}), 6400)
    # With more removed, waiting would not make the disk smaller.
    assert due({**held, 9: _part(9, 6400, 4000)}, 6400, written=12800) == Merge(frozenset({9}), 6400)
    wanted = Merge(frozenset({0, 1, 30}), 6400)
    assert written_again({**held, 30: _part(30, 100, 50)}, wanted, 6400) == 12800


@pytest.mark.parametrize(("row_bytes", "rows"), [(14_000, 19173), (100, 65_536), (1 << 30, 1024)])
def test_a_sealed_fragment_is_about_a_quarter_of_a_gibibyte(row_bytes: int, rows: int) -> None:
    assert sealed_rows(row_bytes) == rows


def test_many_small_commits_leave_few_files(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(130):
            # One that has stood still since an earlier commit would be in the place of the last look at what is due.
            if n >= 127:
                gallery.close()
            gallery.add([make_entry(f"v{n}")])
        gallery.close()
        assert len(parts(open_table(folder))) < 80
        assert sorted(_ids(gallery)) == sorted(f"v{n}" for n in range(130))


def test_compaction_drops_old_versions_and_what_the_dead_left(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(30):
            gallery.add([make_entry(f"v{n % 20}", seed=n)])
        # What it has begun itself would write another version behind the last.
        gallery.close()
        left = folder / "videos.lance" / "data" / "left-by-a-killed-merge.lance"
        left.write_bytes(next(folder.glob("videos.lance/data/*")).read_bytes())
        _compaction(folder, gallery).run(all_files=True)
        assert not left.exists()
        assert len(list(folder.glob("videos.lance/data/*"))) == 1
        assert len(list(folder.glob("videos.lance/_versions/*.manifest"))) == 1
        assert sorted(_ids(gallery)) == sorted(f"v{n}" for n in range(20))
        assert not verify(gallery.reader())


def test_a_merge_is_void_where_its_rows_are_removed_meanwhile_and_then_done_with_writers_waiting(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every try of it meets a removal, until the removals have to wait."""
    monkeypatch.setattr(merging, "_BRIEF", 0)
    with Gallery.open(folder, manifest) as gallery:
        for n in range(12):
            gallery.add([make_entry(f"v{n}")])
        removed, inside = [], threading.Event()

        @contextmanager
        def lock() -> Iterator[None]:
            # The work is done and is about to be committed.
            if len(removed) < 2:
                gallery.remove([f"v{len(removed)}"])
                removed.append(f"v{len(removed)}")
            with exclusive(folder / ".lock", LOCK_WAIT_S):
                inside.set()
                yield

        wanted = all_due(parts(open_table(folder)), 1024)
        merge(open_table(folder), wanted, gallery.schema.row_bytes, lock)
        assert removed == ["v0", "v1"]
        assert len(parts(open_table(folder))) == 1
        # The twelve, and the one that they became: nothing of the tries is left.
        assert len(list(folder.glob("videos.lance/data/*"))) == 13
        assert sorted(_ids(gallery)) == sorted(f"v{n}" for n in range(2, 12))


def test_a_merge_of_which_nobody_knows_whether_it_stands_loses_nothing(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "commit reported a conflict but the manifest at the target version could not be read back for verification"
    own = Rewriting.commit

    def commit(table: Any, done: Any) -> None:
        own(table, done)
        raise OSError(said)

    with Gallery.open(folder, manifest) as gallery:
        for n in range(4):
            gallery.add([make_entry(f"v{n}")])
        with monkeypatch.context() as lying:
            lying.setattr(Rewriting, "commit", commit)
            with pytest.raises(OSError, match=said):
                merge(
                    open_table(folder), all_due(parts(open_table(folder)), 1024), gallery.schema.row_bytes, nullcontext
                )
        assert len(parts(open_table(folder))) == 1
        assert not verify(gallery.reader())


def test_sealed_fragments_are_not_written_again(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = 40
    with Gallery.open(folder, manifest) as gallery:
        for start in range(0, 120, sealed):
            gallery.add([make_entry(f"v{n}") for n in range(start, start + sealed)])
        before = parts(open_table(folder))
        for n in range(10):
            gallery.add([make_entry(f"new{n}")])
        gallery.remove(["v3"])
        wanted = all_due(parts(open_table(folder)), sealed)
        merge(open_table(folder), wanted, gallery.schema.row_bytes, partial(exclusive, folder / ".lock", 1.0))
        after = parts(open_table(folder))
        assert {number: part.file for number, part in after.items() if number in before} == {
            number: part.file for number, part in before.items()
        }
        assert len(after) == len(before) + 1


def test_a_merge_in_another_process_keeps_this_one_s_from_beginning(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery, exclusive(folder / ".merging", 0.0):
        for n in range(70):
            gallery.add([make_entry(f"v{n}")])
        gallery.close()
        assert len(parts(open_table(folder))) == 70


def test_writers_and_readers_go_on_while_files_are_merged(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(500)])
        snapshot = Snapshot(gallery.reader(), [spec.name for spec in gallery.schema.record])
        stop = threading.Event()
        failed: list[BaseException] = []
        rounds = []

        def merges() -> None:
            compaction = _compaction(folder, gallery, retain=60)
            while not stop.is_set():
                try:
                    compaction.run(all_files=True)
                    rounds.append(1)
                except BaseException as error:
                    failed.append(error)

        thread = threading.Thread(target=merges)
        thread.start()
        for n in range(25):
            gallery.add([make_entry(f"v{n}", seed=1), make_entry(f"new{n}")])
            gallery.remove([f"v{n + 100}"])
            snapshot.refresh()
            assert snapshot.view.count == 500
        until(lambda: rounds or failed)
        stop.set()
        thread.join()
        assert not failed
        assert gallery.lookup(["v24"]).digests["v24"] == make_entry("v24", seed=1).digest


def test_the_index_leads_to_ids_and_covers_what_was_merged(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(70):
            gallery.add([make_entry(f"v{n}")])
        gallery.compact()
        table: Any = open_table(folder)
        plan = table.scanner(columns=["id"], filter="id IN ('v3', 'absent')").explain_plan()
        assert "ScalarIndexQuery" in plan
        assert table.stats.index_stats("id_idx")["num_unindexed_rows"] == 0
        assert gallery.lookup(["v3", "absent"]).digests.keys() == {"v3"}


def test_a_version_that_is_read_as_a_whole_is_not_dropped(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(8):
            gallery.add([make_entry(f"v{n}")])
        reader = gallery.reader()
        with reader.pinned():
            gallery.remove(["v3"])
            _compaction(folder, gallery).run(all_files=True)
            assert len(parts(open_table(folder))) == 1
            assert len([id_ for batch in reader.batches(["metadata"]) for id_ in batch.column("id")]) == 8
        # Of a reader that was killed, a pin is left for some hours.
        table = open_table(folder)
        table.tags.create("reading-1-1", table.version)
        gallery.add([make_entry("more")])
        drop_versions(open_table(folder), timedelta(0), unknown=False)
        assert len(list(folder.glob("videos.lance/_versions/*.manifest"))) == 2
        monkeypatch.setattr("framesift.serving.gallery.table._LONGEST_READING", timedelta(0))
        drop_versions(open_table(folder), timedelta(0), unknown=False)
        assert len(list(folder.glob("videos.lance/_versions/*.manifest"))) == 1


def test_versions_are_dropped_though_readers_of_the_whole_end_meanwhile(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(3):
            gallery.add([make_entry(f"v{n}")])
        table = open_table(folder)
        kind, own = type(table.tags), type(table.tags).list
        errors: list[Exception] = [
            ValueError("Not found: gallery/videos.lance/_refs/tags/reading-1-1.json"),
            OSError("Not found: gallery/videos.lance/_refs/tags/reading-1-2.json"),
            ValueError("the disk has gone"),
        ]

        def listed(tags: Any) -> Any:
            if errors:
                raise errors.pop(0)
            return own(tags)

        monkeypatch.setattr(kind, "list", listed)
        with pytest.raises(ValueError, match="the disk has gone"):
            drop_versions(table, timedelta(0), unknown=False)
        errors[:] = [ValueError("Not found: _refs/tags/reading-1-3.json")]
        drop_versions(table, timedelta(0), unknown=False)
        assert len(list(folder.glob("videos.lance/_versions/*.manifest"))) == 1


def test_the_disk_takes_at_most_half_as_much_again_while_videos_are_replaced(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions aside, which are dropped by their age."""
    monkeypatch.setattr("framesift.serving.gallery.compaction.sealed_rows", lambda row_bytes: 200)
    count = 1200
    with Gallery.open(folder, manifest) as gallery:
        for start in range(0, count, 200):
            gallery.add([make_entry(f"v{n}") for n in range(start, start + 200)])
        compaction = _compaction(folder, gallery)
        compaction.run(all_files=True)

        def rows() -> int:
            return sum(part.rows for part in parts(open_table(folder)).values())

        most, number = rows(), 0
        for _ in range(30):
            # Two thirds of the gallery, one after the other, from all of its files.
            gallery.add([make_entry(f"v{(number + n) * 7 % count}", seed=1) for n in range(27)])
            number += 27
            compaction.run()
            most = max(most, rows())
        assert gallery.count == count
        assert most <= 1.5 * count
        assert not verify(gallery.reader())
