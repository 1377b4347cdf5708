"""Films that are cut: their segments come, go and change together."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framesift.export.bundle.errors import GalleryError, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.segments import Cutting, Segment
from framesift.serving.gallery.bulk import bring_in, hand_on
from framesift.serving.gallery.editing import Change, edit
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.sources import Records
from framesift.serving.gallery.statistics import statistics
from framesift.serving.gallery.store import Gallery
from framesift.serving.gallery.verify import verify

MakeEntry = Callable[..., GalleryEntry]


@pytest.fixture
def film(make_entry: MakeEntry) -> Callable[..., list[GalleryEntry]]:
    """Makes the segments of a film, ten seconds each."""

    def make(id_: str, count: int, seed: int = 0, **facts: object) -> list[GalleryEntry]:
        whole = make_entry(id_, seed=seed, duration=10.0 * count, **facts)
        return [
            replace(
                make_entry(id_, seed=1000 * seed + number),
                digest=whole.digest,
                duration=whole.duration,
                metadata=whole.metadata,
                source=whole.source,
                segment=Segment(number, count, 10.0 * number, 10.0 * number + 10),
            )
            for number in range(count)
        ]

    return make


def kept(gallery: Gallery) -> dict[str, list[tuple[int, int]]]:
    """Number and count of every row by id, in the order of the rows' numbers."""
    table = gallery.reader().table.to_table(columns=["id", "sequence", "segment", "segments"]).sort_by("sequence")
    found: dict[str, list[tuple[int, int]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["id"], []).append((row["segment"], row["segments"]))
    return found


def segments(count: int) -> list[tuple[int, int]]:
    return [(number, count) for number in range(count)]


def test_a_film_is_replaced_whole_by_more_or_fewer_segments_or_by_none(
    folder: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]], make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        first = gallery.add([*film("a", 5), make_entry("plain"), *film("b", 2)])
        assert first.count == gallery.count == gallery.lookup([]).count == 3
        assert kept(gallery) == {"a": segments(5), "plain": segments(1), "b": segments(2)}
        for count in (3, 7, 1, 4):
            entries = film("a", count, seed=count)
            commit = gallery.add(entries)
            assert commit.count == 3
            assert kept(gallery) == {"plain": segments(1), "b": segments(2), "a": segments(count)}
            assert gallery.lookup(["a", "b"]).digests == {"a": entries[0].digest, "b": film("b", 2)[0].digest}
        # What it was cut into before is in an earlier version and nowhere else: a reader has one or the other.
        assert gallery.remove(["a"]).count == 2
        assert gallery.add([*film("plain", 6), *film("new", 3)]).count == 3
        assert kept(gallery) == {"b": segments(2), "plain": segments(6), "new": segments(3)}
        gallery.compact()
        assert kept(gallery) == {"b": segments(2), "plain": segments(6), "new": segments(3)}
        assert (statistics(gallery).count, statistics(gallery).records) == (3, 11)
    assert not verify(Gallery.existing(folder).reader())


def test_of_a_film_that_comes_twice_in_one_commit_the_last_is_kept(
    folder: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]], make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([*film("a", 4), make_entry("b"), *film("a", 2, seed=1), *film("b", 3)])
        assert kept(gallery) == {"a": segments(2), "b": segments(3)}
        assert gallery.describe(["a"])["a"].segment == (0, 2, 0.0, 10.0)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_film_that_is_not_whole_is_refused(
    folder: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]], lost: int
) -> None:
    entries = film("a", 4)
    del entries[lost]
    with Gallery.open(folder, manifest) as gallery:
        with pytest.raises(InvalidRequest, match="bring films whole"):
            gallery.add(entries)
        assert gallery.count == 0


@pytest.mark.parametrize("segment", [(2, 2, 0, 1), (-1, 2, 0, 1), (0, 5000, 0, 1), (0, 2, 3, 3), (0, 2, 0, np.nan)])
def test_a_segment_that_can_t_be_is_refused(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, segment: tuple[int, int, float, float]
) -> None:
    with Gallery.open(folder, manifest) as gallery, pytest.raises(InvalidRequest, match="segment"):
        gallery.add([make_entry("a", segment=Segment(*segment))])


def test_metadata_of_a_film_change_in_all_its_segments(
    folder: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]]
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([*film("a", 5, metadata='{"year": 1999}'), *film("b", 2)])
        edited = edit(gallery, {"a": Change(metadata={"tag": 1}, merge=True), "gone": Change(delete=True)})
        assert (edited.present, edited.commit.count) == ({"a"}, 2)
        table = gallery.reader().table.to_table(columns=["id", "metadata"]).to_pylist()
        assert [row["metadata"] for row in table if row["id"] == "a"] == ['{"year":1999,"tag":1}'] * 5
        assert kept(gallery) == {"b": segments(2), "a": segments(5)}
        assert edit(gallery, {"a": Change(delete=True)}).commit.count == 1
        assert kept(gallery) == {"b": segments(2)}


@pytest.mark.parametrize("suffix", ["parquet", "lance"])
def test_films_are_exported_and_imported_in_commits_of_whole_films(
    folder: Path,
    tmp_path: Path,
    manifest: Manifest,
    film: Callable[..., list[GalleryEntry]],
    make_entry: MakeEntry,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    monkeypatch.setattr("framesift.serving.gallery.bulk.sealed_rows", lambda row_bytes: 5)
    monkeypatch.setattr("framesift.serving.gallery.bulk._PIECE", 1)
    counts = {f"f{n}": 1 + n * 5 % 13 for n in range(12)}
    with Gallery.open(folder, manifest) as gallery:
        for id_, count in counts.items():
            gallery.add(film(id_, count))
        gallery.add(film("f3", 9, seed=2))
        counts["f3"] = 9
        out = tmp_path / f"out.{suffix}"
        assert hand_on([gallery.reader()], out, lambda rows: None) == 12
    with Gallery.open(tmp_path / "copy", manifest) as copy:
        done = bring_in(copy, Records.open(out), lambda rows: None)
        assert (done.added, done.same) == (12, 0)
        assert kept(copy) == {id_: segments(count) for id_, count in counts.items()} == kept(gallery)
        assert bring_in(copy, Records.open(out), lambda rows: None).same == 12
        # One commit a film at most, and none with a part of one.
        copy.add(film("f5", 2, seed=1))
        assert bring_in(copy, Records.open(out), lambda rows: None, replace=True).added == 1
        assert kept(copy)["f5"] == segments(counts["f5"])


def test_how_a_film_is_cut_and_the_digest_of_its_file_are_kept(
    folder: Path, tmp_path: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]], make_entry: MakeEntry
) -> None:
    cutting = Cutting(10, 2, shots=0.3)
    cut = [replace(entry, cutting=cutting) for entry in film("cut", 3)]
    short = replace(make_entry("short"), cutting=Cutting(30))
    digest, film_digest = make_entry("short").digest, film("cut", 3)[0].digest
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("whole"), *film("untold", 2)])
        assert not gallery.reader().cuts
        gallery.add([*cut, short])
        assert gallery.reader().cuts
        found = gallery.lookup(["cut", "short", "whole", "untold", "absent"])
        assert found.digests == {
            "cut": cutting.digest(film_digest),
            "short": Cutting(30).digest(digest),
            "whole": make_entry("whole").digest,
            "untold": film("untold", 2)[0].digest,
        }
        told = {"cut": cutting.json(), "short": Cutting(30).json()}
        assert gallery.reader().cuttings(list(found.digests)) == told
        (row,) = {
            (bytes(row["digest"]), row["cutting"])
            for row in gallery.reader().table.to_table(["id", "digest", "cutting"]).to_pylist()
            if row["id"] == "cut"
        }
        assert row == (film_digest, cutting.json())
        facts = gallery.describe(["cut", "short", "whole"])
        assert json.loads(facts["cut"].json()).items() >= {"segments": 3, "cutting": cutting.to_dict()}.items()
        assert json.loads(facts["short"].json())["cutting"] == {"seconds": 30.0, "overlap": 0.0}
        assert json.loads(facts["whole"].json()).keys() == {"source", "duration", "metadata"}
        # It goes where its records go.
        edit(gallery, {"cut": Change(metadata={"year": 1999})})
        assert gallery.reader().cuttings(["cut"]) == {"cut": cutting.json()}
        hand_on([gallery.reader()], tmp_path / "out.parquet", lambda rows: None)
        assert not verify(gallery.reader())
    with Gallery.open(tmp_path / "copy", manifest) as copy:
        assert bring_in(copy, Records.open(tmp_path / "out.parquet"), lambda rows: None).added == 4
        assert copy.lookup(list(found.digests)).digests == found.digests
        assert copy.reader().cuttings(list(found.digests)) == told
        # Cut otherwise it is another one.
        copy.add([replace(entry, cutting=Cutting(5)) for entry in film("short", 2)])
        assert bring_in(copy, Records.open(tmp_path / "out.parquet"), lambda rows: None, replace=True).added == 1


@pytest.mark.parametrize("text", ['{"seconds": 30.0,"overlap":0.0}', "{}", "30", '{"seconds":0}', "x" * 9999])
def test_a_cutting_that_can_t_be_is_refused(
    folder: Path, tmp_path: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]], text: str
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add(film("a", 2))
        table = gallery.reader().table.to_table()
    place = table.schema.get_field_index("cutting")
    changed = table.set_column(place, "cutting", pa.array([text, text]))
    pq.write_table(changed.drop_columns(["checksums"]), tmp_path / "records.parquet")
    with Gallery.open(tmp_path / "new", manifest) as gallery:
        with pytest.raises(InvalidRequest, match="cut|segments"):
            bring_in(gallery, Records.open(tmp_path / "records.parquet"), lambda rows: None)
        assert gallery.count == 0


@pytest.mark.slow
def test_a_reader_never_sees_a_part_of_a_film_while_it_is_replaced_and_merged(
    folder: Path, manifest: Manifest, film: Callable[..., list[GalleryEntry]], make_entry: MakeEntry
) -> None:
    made = {count: film("a", count, seed=count) for count in range(1, 6)}
    stop = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        reader = Gallery.existing(folder).reader()
        while not stop.is_set():
            reader.advance()
            rows = reader.table.to_table(columns=["id", "segment", "segments", "digest"]).to_pylist()
            mine = [row for row in rows if row["id"] == "a"]
            if {row["segments"] for row in mine} != {len(mine)} or len({row["digest"] for row in mine}) != 1:
                wrong.append(mine)

    with Gallery.open(folder, manifest) as gallery, Gallery.open(folder, manifest) as other:
        gallery.add(made[1])
        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for round_ in range(24):
                gallery.add(made[1 + round_ % 5])
                other.add([make_entry(f"plain {round_ % 7}", seed=round_), *film(f"film {round_ % 3}", 2, seed=round_)])
                if round_ % 6 == 5:
                    other.compact()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong
        assert gallery.count == 1 + 7 + 3
        assert not verify(gallery.reader())


def test_records_of_an_earlier_format_are_refused_with_the_command_that_brings_them_in(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry("a"), make_entry("b")])
        table = gallery.reader().table.to_table()
    before = table.drop_columns(["cutting"])
    told = {key: value.replace(b'"format": 6', b'"format": 5') for key, value in table.schema.metadata.items()}
    (tmp_path / "old").mkdir()
    lance.write_dataset(before.replace_schema_metadata(told), str(tmp_path / "old" / "videos.lance"))
    with pytest.raises(GalleryError, match="has format 5, this framesift reads 6: .*framesift gallery import NEW OLD"):
        Gallery.existing(tmp_path / "old")
    assert Records.open(tmp_path / "old").made_for() == GallerySchema.of(manifest)
    with Gallery.open(tmp_path / "new", manifest) as gallery:
        assert bring_in(gallery, Records.open(tmp_path / "old"), lambda rows: None).added == 2
        assert kept(gallery) == {"a": [(0, 1)], "b": [(0, 1)]}
        assert gallery.lookup(["a"]).digests == {"a": make_entry("a").digest}
