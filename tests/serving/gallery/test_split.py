"""A gallery in shards: split, split again, and written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import GALLERY_VARIABLE
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery.environment import readers_from_env
from framesift.serving.gallery.numbering import version_of
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import SEQUENCE
from framesift.serving.gallery.shard import Shard, part_of
from framesift.serving.gallery.shards import open_shards, shard_folders
from framesift.serving.gallery.split import divide, sources_of
from framesift.serving.gallery.statistics import statistics
from framesift.serving.gallery.store import Gallery

MakeEntry = Callable[..., GalleryEntry]


def _held(gallery: Gallery) -> dict[str, dict]:
    """Every row by id, with all that a gallery keeps of it."""
    found = {}
    reader = gallery.reader()
    for batch in reader.scan([*reader.schema.columns, "checksums"]):
        found.update({row["id"]: row for row in batch.to_pylist()})
    return found


def _filled(folder: Path, manifest: Manifest, make_entry: MakeEntry, ids: range) -> Gallery:
    gallery = Gallery.open(folder, manifest)
    for number in ids:
        gallery.add([make_entry(f"film {number}")])
    return gallery


def _split(folder: Path, out: Path, count: int) -> list[Gallery]:
    divide(sources_of(folder), out, count, lambda rows: None)
    return [Gallery.existing(each) for each in shard_folders(out)]


def test_shards_hold_what_one_gallery_held_and_can_be_split_again(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    one = _filled(tmp_path / "one", manifest, make_entry, range(12))
    one.remove(["film 3"])
    wanted = _held(one)
    for source, count in (("one", 3), ("s3", 5), ("s5", 1)):
        shards = _split(tmp_path / source, tmp_path / f"s{count}", count)
        found = [_held(shard) for shard in shards]
        assert {id_: row for part in found for id_, row in part.items()} == wanted
        for number, part in enumerate(found):
            assert all(Shard(number, count).has(id_) for id_ in part)
        # What is written next is behind all that there is.
        newest = max(row[SEQUENCE] for row in wanted.values())
        assert all(version_of(shard.reader().table) << 20 > newest for shard in shards)


def test_a_split_is_brought_up_to_date_and_one_that_was_stopped_goes_on(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    one = _filled(tmp_path / "one", manifest, make_entry, range(8))
    looked = 0

    def stop(rows: int) -> None:
        nonlocal looked
        looked += rows
        if looked > 8:
            raise KeyboardInterrupt

    # It dies while it compares, before the note that says that all is there.
    with pytest.raises(KeyboardInterrupt):
        divide(sources_of(one.root), tmp_path / "out", 2, stop)
    with pytest.raises(GalleryError, match="there is no gallery in shards"):
        shard_folders(tmp_path / "out")
    one.add([make_entry("film 0", seed=1), make_entry("new")])
    one.remove(["film 1"])
    done = divide(sources_of(one.root), tmp_path / "out", 2, lambda rows: None)
    assert (done.copied, done.removed) == (2, 2)
    assert sum(done.counts) == one.count == 8
    again = divide(sources_of(one.root), tmp_path / "out", 2, lambda rows: None)
    assert (again.copied, again.removed) == (0, 0)
    shards = [Gallery.existing(each) for each in shard_folders(tmp_path / "out")]
    assert {id_: row for shard in shards for id_, row in _held(shard).items()} == _held(one)
    shards[Shard(0, 2).has("new") is False].remove(["new"])
    with pytest.raises(GalleryError, match="were written since they were split"):
        divide(sources_of(one.root), tmp_path / "out", 2, lambda rows: None)


def test_what_other_shards_wrote_comes_before_what_is_written_next(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    schema = Gallery.open(tmp_path / "schema", manifest).schema
    shards = open_shards(tmp_path / "out", schema, 3)
    numbers: list[int] = []
    versions: list[int] = []
    for place in range(30):
        id_ = f"film {place * 7 % 30}"
        (shard,) = (shard for shard, number in zip(shards, range(3), strict=True) if Shard(number, 3).has(id_))
        shard.least = max(other.version for other in shards)
        versions.append(shard.add([make_entry(id_)]).version)
        numbers.append(int(_held(shard)[id_][SEQUENCE]))
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 30
    assert versions == sorted(versions)
    assert all(np.array(numbers) >> 20 < np.array(versions))


def test_a_shard_keeps_its_own_videos_alone(tmp_path: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    schema = Gallery.open(tmp_path / "schema", manifest).schema
    shards = open_shards(tmp_path / "out", schema, 2)
    (other,) = (shard for shard, number in zip(shards, range(2), strict=True) if not Shard(number, 2).has("a"))
    with pytest.raises(GalleryError, match="belongs to another shard"):
        other.add([make_entry("a")])
    assert other.count == 0
    with pytest.raises(GalleryError, match=r"but one in shards: name one of them, such as .*shard-0"):
        Gallery.existing(tmp_path / "out")
    with pytest.raises(GalleryError, match="has 2 shards, not 3"):
        open_shards(tmp_path / "out", schema, 3)
    (tmp_path / "out" / "shard-0").rename(tmp_path / "aside")
    (tmp_path / "out" / "shard-1").rename(tmp_path / "out" / "shard-0")
    (tmp_path / "aside").rename(tmp_path / "out" / "shard-1")
    with pytest.raises(GalleryError, match="shard-0 is 1/2, not shard 0/2 of one"):
        open_shards(tmp_path / "out", schema)


def test_a_video_is_read_from_its_shard(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(tmp_path / "one", manifest, make_entry, range(6))
    _split(tmp_path / "one", tmp_path / "two", 2)
    for folder, count in (("one", 1), ("two", 2)):
        monkeypatch.setenv(GALLERY_VARIABLE, str(tmp_path / folder))
        readers = readers_from_env(manifest)
        assert len(readers) == count
        for id_ in ("film 0", "film 1", "film 5"):
            assert [*readers[part_of(id_, count)].digests([id_])] == [id_]


def test_the_command_splits_and_info_counts(tmp_path: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    _filled(tmp_path / "one", manifest, make_entry, range(5))
    run = CliRunner().invoke(main, ["gallery", "split", str(tmp_path / "one"), str(tmp_path / "two"), "--shards", "2"])
    assert run.exit_code == 0, run.output
    assert "5 records copied and 0 removed; the 2 shards have " in run.stdout
    told = CliRunner().invoke(main, ["gallery", "info", str(tmp_path / "two")]).stdout
    assert "videos   5\n" in told
    assert "shards   2, of " in told
    own = CliRunner().invoke(main, ["gallery", "split", str(tmp_path / "two"), str(tmp_path / "two"), "--shards", "3"])
    assert own.exit_code == 1


def test_stats_and_compact_are_of_all_shards(tmp_path: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    _filled(tmp_path / "one", manifest, make_entry, range(9))
    for shard in _split(tmp_path / "one", tmp_path / "three", 3):
        shard.remove([next(iter(_held(shard)))])
    each = [statistics(Gallery.existing(folder)) for folder in shard_folders(tmp_path / "three")]

    def told(command: str) -> dict[str, str]:
        run = CliRunner().invoke(main, ["gallery", command, str(tmp_path / "three")])
        assert run.exit_code == 0, run.output
        return dict(line.split(maxsplit=1) for line in run.stdout.splitlines())

    found = told("stats")
    assert found["shards"] == f"3, of {', '.join(str(shard.count) for shard in each)} videos"
    assert (found["videos"], found["removed"].split()[0]) == ("6", "3")
    assert found["versions"] == str(sum(shard.versions for shard in each))
    told("compact")
    assert told("stats")["removed"].split()[0] == "0"
    one = CliRunner().invoke(main, ["gallery", "stats", str(tmp_path / "three" / "shard-1")])
    assert f"videos   {each[1].count}\n" in one.stdout


def test_all_segments_of_a_film_lie_in_one_shard_side_by_side(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    one = _filled(tmp_path / "one", manifest, make_entry, range(5))
    for name in ("cut", "cut too", "a third"):
        one.add([make_entry(name, segment=Segment(number, 4, number, number + 1)) for number in range(4)])
    one.add([make_entry("after")])
    shards = _split(tmp_path / "one", tmp_path / "three", 3)
    assert sum(shard.count for shard in shards) == one.count == 9
    for number, shard in enumerate(shards):
        rows = shard.reader().table.to_table(["id", "segment", SEQUENCE]).sort_by(SEQUENCE).to_pylist()
        assert all(Shard(number, 3).has(row["id"]) for row in rows)
        for place, row in enumerate(rows):
            if row["segment"]:
                before = rows[place - 1]
                assert (before["id"], before["segment"]) == (row["id"], row["segment"] - 1)
                assert before[SEQUENCE] == row[SEQUENCE] - 1


def test_a_served_split_is_brought_up_to_date_by_another_number_of_shards(
    tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    one = _filled(tmp_path / "one", manifest, make_entry, range(8))
    served = _split(tmp_path / "one", tmp_path / "two", 2)
    # Beside those that are served, while videos come and go.
    _split(tmp_path / "two", tmp_path / "three", 3)
    for id_ in ("new 1", "new 2", "film 1"):
        own = served[part_of(id_, 2)]
        own.least = max(shard.version for shard in served)
        own.add([make_entry(id_, seed=2)])
    served[part_of("film 4", 2)].remove(["film 4"])
    done = divide(sources_of(tmp_path / "two"), tmp_path / "three", 3, lambda rows: None)
    assert (done.copied, done.removed) == (3, 2)
    again = divide(sources_of(tmp_path / "two"), tmp_path / "three", 3, lambda rows: None)
    assert (again.copied, again.removed) == (0, 0)
    wanted = {id_: row for shard in served for id_, row in _held(shard).items()}
    shards = [Gallery.existing(each) for each in shard_folders(tmp_path / "three")]
    assert {id_: row for shard in shards for id_, row in _held(shard).items()} == wanted
    newest = max(row[SEQUENCE] for row in wanted.values())
    assert max(version_of(shard.reader().table) for shard in shards) << 20 > newest
    assert one.count == 8
