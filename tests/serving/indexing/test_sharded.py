"""A gallery in shards that is filled without a server: every run fills one, and all together hold what one would."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.shards import open_shards, read_note

from .conftest import FILMS, Run
from .records import records, segments


@pytest.mark.slow
def test_every_run_fills_its_shard(index: Run, films: Path) -> None:
    counts = []
    for part in range(3):
        run = index("films", "--shard", f"{part}/3", "--sharded")
        assert run.exit_code == 0, run.stderr
        counts.append(int(run.stdout.split()[0]))
    assert sum(counts) == FILMS
    index("films", gallery="whole")
    shards = [records(Path("gallery", f"shard-{part}")) for part in range(3)]
    assert [len(shard) for shard in shards] == counts
    assert {id_: row for shard in shards for id_, row in shard.items()} == records(Path("whole"))
    # It is one in shards from then on, without being told so.
    assert index("films", "--shard", "1/3").stdout.startswith(f"0 indexed, {counts[1]} skipped")
    for arguments in (["films"], ["films", "--shard", "0/2"]):
        refused = index(*arguments)
        assert refused.exit_code == 1
        assert "in 3 shards, each of which a run of its own fills: index with --shard 0/3 to 2/3" in refused.stderr


@pytest.mark.slow
def test_films_are_cut_into_shards_as_into_one(index: Run, films: Path) -> None:
    options = ("--segment-seconds", 1, "--overlap", 0.5)
    for part in range(2):
        run = index("films", *options, "--shard", f"{part}/2", "--sharded")
        assert run.exit_code == 0, run.stderr
    index("films", *options, gallery="whole")
    cut = segments(Path("gallery", "shard-0")) | segments(Path("gallery", "shard-1"))
    assert cut == segments("whole")
    assert all(len(rows) > 1 for rows in cut.values())
    again = index("films", *options, "--shard", "1/2")
    assert again.stdout.startswith("0 indexed, ")


def test_shards_of_nobody_are_refused(index: Run, films: Path) -> None:
    assert "--sharded needs --shard" in index("films", "--sharded").stderr
    assert not Path("gallery").exists()


def test_runs_that_begin_together_make_one_gallery(manifest: Manifest, tmp_path: Path) -> None:
    schema, found = GallerySchema.of(manifest), list[list[str]]()

    def make() -> None:
        found.append([str(shard.root) for shard in open_shards(tmp_path / "gallery", schema, 3)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[str(tmp_path / "gallery" / f"shard-{part}") for part in range(3)]] * 4
    assert read_note(tmp_path / "gallery").shards == 3
