"""The commands of a gallery's folder on one in shards: all of them, and each is named where it matters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidInput
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.segments import Segment
from framesift.serving.calibration_texts import texts_of_metadata
from framesift.serving.gallery import verify as verifying
from framesift.serving.gallery.calibration import Calibration
from framesift.serving.gallery.reader import Reader
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import SEQUENCE
from framesift.serving.gallery.shard import part_of
from framesift.serving.gallery.shards import shards_of
from framesift.serving.gallery.split import divide, sources_of
from framesift.serving.gallery.store import Gallery

MakeEntry = Callable[..., GalleryEntry]
SHARDS = 3
NAMES = [f"film {number}" for number in range(12)]


@pytest.fixture
def three(tmp_path: Path, manifest: Manifest, make_entry: MakeEntry) -> Path:
    """A gallery in three shards; a film of it is cut."""
    one = Gallery.open(tmp_path / "one", manifest)
    one.add([make_entry(name, source=f"/films/{name}") for name in NAMES])
    one.add([make_entry("cut", segment=Segment(number, 3, number, number + 1)) for number in range(3)])
    divide(sources_of(one.root), tmp_path / "three", SHARDS, lambda rows: None)
    return tmp_path / "three"


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["gallery", *map(str, args)])


def held(*galleries: Gallery) -> dict[tuple[str, int], dict[str, Any]]:
    """Everything but what is numbered anew, by id and segment."""
    columns = ["sequence", "indexed_at", "checksums"]
    rows = [row for each in galleries for row in each.reader().table.to_table().drop_columns(columns).to_pylist()]
    return {(row["id"], row["segment"]): row for row in rows}


def flip(shard: Gallery) -> None:
    """Another byte in the middle of a shard's only data file, among its videos' vectors."""
    (file,) = shard.root.glob("videos.lance/data/*")
    raw = bytearray(file.read_bytes())
    tensor = next(iter(shard.schema.record)).name
    (batch,) = shard.reader().batches([tensor])
    values = batch.column(tensor).flatten().to_numpy().tobytes()
    raw[raw.index(values[:64]) + 5] ^= 1
    file.write_bytes(raw)


def test_verify_reads_all_shards_and_names_those_that_have_changed(three: Path) -> None:
    whole = run("verify", three)
    assert (whole.exit_code, whole.stdout) == (0, "13 videos in 3 shards, none has changed since it was written\n")
    shard = shards_of(three)[1]
    flip(shard)
    found = run("verify", three)
    assert found.exit_code == 1
    (line,) = found.stdout.splitlines()
    assert line.startswith("shard-1: 'film ")
    name = line.split("'")[1]
    assert part_of(name, SHARDS) == 1
    assert "1 of 13 videos have changed on disk. Remove them and index their files again: " in found.stderr
    assert f"framesift gallery remove {three} '{name}'\n" in found.stderr
    # What it says mends it.
    assert run("remove", three, name).exit_code == 0
    assert run("verify", three).exit_code == 0


def test_what_becomes_of_a_shard_while_another_is_verified_is_no_fault(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, begun = verifying.verify, list[int]()

    def verify(reader: Reader, *rest: Any) -> Any:
        if not begun:
            # The first one takes longer than old versions stay.
            last = Gallery(shards_of(three)[2].root, reader.schema, timedelta(0))
            with last:
                last.remove([next(name for name in NAMES if part_of(name, SHARDS) == 2)])
                last.compact()
        begun.append(reader.version)
        return true(reader, *rest)

    monkeypatch.setattr(verifying, "verify", verify)
    found = run("verify", three)
    assert (found.exit_code, len(begun)) == (0, SHARDS), found.output
    assert all(not shard.reader().table.tags.list() for shard in shards_of(three))


def test_verify_names_the_shard_whose_file_was_cut(three: Path) -> None:
    (file,) = shards_of(three)[2].root.glob("videos.lance/data/*")
    file.write_bytes(file.read_bytes()[:60])
    # A process that has read nothing of it yet.
    command = [sys.executable, "-m", "framesift", "gallery"]
    found = subprocess.run([*command, "verify", str(three)], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert {line.partition(":")[0] for line in found.stdout.splitlines()} == {"shard-2"}
    assert f"put a copy of {three / 'shard-2'} back" in found.stderr
    shown = subprocess.run([*command, "stats", str(three)], capture_output=True, text=True, check=False)
    assert f"Error: counting the gallery in {three / 'shard-2'} failed" in shown.stderr


def test_shards_that_lie_in_the_place_of_others_are_told(three: Path, tmp_path: Path, manifest: Manifest) -> None:
    (three / "shard-2").rename(tmp_path / "aside")
    for command in ("verify", "stats", "info"):
        assert run(command, three).stderr == f"Error: there is no gallery in {three / 'shard-2'}\n"
    Gallery.open(three / "shard-2", manifest)
    assert "shard-2 is a whole gallery, not shard 2/3 of one" in run("verify", three).stderr
    other = tmp_path / "other"
    theirs = Gallery.open(tmp_path / "theirs", replace(manifest, fingerprint="model-b"))
    divide(sources_of(theirs.root), other, SHARDS, lambda rows: None)
    (three / "shard-2").rename(tmp_path / "wrong")
    (other / "shard-2").rename(three / "shard-2")
    assert "shard-2 holds records of another model than" in run("verify", three).stderr


def test_videos_are_removed_from_the_shards_that_keep_them(three: Path) -> None:
    before = [shard.version for shard in shards_of(three)]
    gone = [name for name in NAMES if part_of(name, SHARDS) != 0][:4]
    done = run("remove", three, *gone, gone[0], "none")
    assert done.exit_code == 1
    assert done.stdout == "4 removed, 9 left\n"
    assert done.stderr.endswith("not in the gallery: none\n")
    shards = shards_of(three)
    assert {id_ for id_, _ in held(*shards)} == {*NAMES, "cut"} - {*gone}
    # A shard that keeps none of them is left as it is.
    assert shards[0].version == before[0]


@pytest.mark.parametrize("suffix", ["parquet", "lance"])
def test_all_shards_are_exported_and_imported(three: Path, tmp_path: Path, suffix: str) -> None:
    out, copy = tmp_path / f"out.{suffix}", tmp_path / "copy"
    told = run("export", three, out)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"13 videos written to {out}; ")
    assert run("import", copy, out).exit_code == 0
    assert held(Gallery.existing(copy)) == held(*shards_of(three))
    # And without the file between.
    assert "0 videos imported, 13 were there already, 13 in all" in run("import", copy, three).stdout


def test_records_go_to_the_shards_of_their_ids(
    three: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    more = Gallery.open(tmp_path / "more", manifest)
    more.add([make_entry(f"new {number}") for number in range(9)])
    more.add([make_entry("new cut", segment=Segment(number, 4, number, number + 1)) for number in range(4)])
    more.add([make_entry(NAMES[0])])
    newest = max(row for shard in shards_of(three) for row in shard.reader().sequences().tolist())
    wanted = held(more, *shards_of(three))
    done = run("import", three, tmp_path / "more")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("10 videos imported, 1 were there already, 23 in all; ")
    shards = shards_of(three)
    assert held(*shards).keys() == wanted.keys()
    numbers = []
    for number, shard in enumerate(shards):
        rows = shard.reader().table.to_table(["id", SEQUENCE]).to_pylist()
        assert {part_of(row["id"], SHARDS) for row in rows} == {number}
        numbers += [row[SEQUENCE] for row in rows if row["id"].startswith("new")]
    # Behind all that any shard had, each with a number of its own.
    assert min(numbers) > newest
    assert len(set(numbers)) == 13
    more.add([make_entry(NAMES[0], seed=1)])
    refused = run("import", three, tmp_path / "more")
    assert refused.exit_code == 1
    assert "1 videos are there with another digest, of which 'film 0': --replace" in refused.stderr
    assert "1 videos imported, 10 were there already, 23 in all" in run("import", three, more.root, "--replace").stdout


def test_records_of_another_model_are_not_imported(three: Path, tmp_path: Path, manifest: Manifest) -> None:
    Gallery.open(tmp_path / "theirs", replace(manifest, fingerprint="model-b"))
    refused = run("import", three, tmp_path / "theirs")
    assert refused.exit_code == 1
    assert "they don't compare" in refused.stderr


def test_stats_tell_the_coarse_stage_of_every_shard(three: Path) -> None:
    assert "coarse" not in run("stats", three).stdout
    made = Calibration(
        fingerprint="model-a",
        version=1,
        videos=5,
        made="2026-11-29T00:00:00Z",
        texts=60,
        origin="'queries.txt'",
        top=10,
        wished=0.9,
        recall=0.95,
        frames=1,
        candidates=2,
        speed=3.0,
    )
    for number in (0, 2):
        replace(made, recall=0.9 + number / 100).write(three / f"shard-{number}")
    lines = [line for line in run("stats", three).stdout.splitlines() if line.startswith("coarse")]
    assert lines[0].startswith("coarse   shard-0: recall@10 0.9 of 60 texts ('queries.txt')")
    assert "coarse   shard-1: never calibrated, so --coarse is refused" in lines
    assert any(line.startswith("coarse   shard-2: recall@10 0.92 of 60 texts") for line in lines)


def test_texts_are_looked_for_in_all_shards(three: Path) -> None:
    with pytest.raises(InvalidInput, match=f"no video in {three} has a text in its metadata's 'title'"):
        texts_of_metadata(shards_of(three), "title", 9)
