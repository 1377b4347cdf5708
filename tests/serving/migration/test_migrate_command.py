"""``framesift gallery migrate``: real films and feature files, by the processes that index."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.build import eager_system
from framesift.export.bundle.features.tensors_file import write_tensors
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.segments import Cutting, Segment
from framesift.export.bundle.store import Bundle
from framesift.export.corpus.shapes import FRAME_RATE
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import INDEXED_AT, SEQUENCE
from framesift.serving.gallery.split import divide, sources_of
from framesift.serving.gallery.store import Gallery

from ...small_systems import small_bundle
from ..films import lasting, pictures, write_film
from ..indexing.records import bits, records

Old = Callable[..., Path]


def _migrate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["gallery", "migrate", *map(str, arguments), "--jobs", "1"])


def _gib(result: Result) -> float:
    """What each process was said to take."""
    said = re.search(r"each with at most ([0-9.]+) GiB of memory", result.stderr)
    assert said, result.stderr
    return float(said[1])


@pytest.fixture
def old(tmp_path: Path, manifest: Manifest, make_entry: Callable[..., GalleryEntry]) -> Old:
    """A gallery of another model, with the files of these ids as they are now."""

    def make(files: dict[str, Path], cuttings: Mapping[str, Cutting] | None = None) -> Path:
        entries = [
            make_entry(
                id_,
                digest=hashlib.sha256(path.read_bytes()).digest(),
                source=str(path),
                metadata=json.dumps({"n": place}),
                segment=Segment(number, count, number, number + 1.0),
                cutting=cutting,
            )
            for place, (id_, path) in enumerate(files.items())
            # How many records it had is none of a migration's business.
            for cutting in [(cuttings or {}).get(id_)]
            for count in [1 if cutting is None or cutting.seconds > 50 else 2]
            for number in range(count)
        ]
        with Gallery.open(tmp_path / "old", manifest) as gallery:
            gallery.add(entries)
        return tmp_path / "old"

    return make


@pytest.mark.slow
def test_films_are_made_as_they_are_indexed(bundle: Bundle, old: Old, clips: list, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for clip in clips[:4]:
        (films / clip.video.name).write_bytes(clip.video.read_bytes())
    paths = {path.name: path for path in sorted(films.iterdir())}
    gallery, new = old(paths), tmp_path / "new"
    bad = next(iter(paths.values()))
    content = bad.read_bytes()
    bad.write_bytes(content + b"more")
    first = _migrate(gallery, new, "--bundle", bundle.root)
    assert first.exit_code == 1, first.output
    assert f"has 3 videos of the 4 of {gallery}, without 1 video that can't be made again" in first.stderr
    (line,) = map(json.loads, (tmp_path / "new.failures.jsonl").read_text().splitlines())
    assert (line["path"], line["id"], line["metadata"]) == (str(bad), bad.name, {"n": 0})
    assert "has changed" in line["reason"]
    # Whoever mends it may go on, whatever became of the copy meanwhile.
    assert not json.loads((new / ".migration").read_text())["whole"]
    bad.write_bytes(content)
    again = _migrate(gallery, new, "--bundle", bundle.root)
    assert again.exit_code == 0, again.output
    assert f"1 video of {gallery} to be made again" in again.stderr
    assert not (tmp_path / "new.failures.jsonl").exists()
    assert json.loads((new / ".migration").read_text())["whole"]
    # Nothing is left to do, so no process was started.
    last = _migrate(gallery, new, "--bundle", bundle.root)
    assert (last.exit_code, "processes" in last.stderr) == (0, False)
    options = ["--bundle", str(bundle.root), "--gallery", str(tmp_path / "indexed"), "--jobs", "1", "--no-cache"]
    afresh = CliRunner().invoke(main, ["index", str(films), *options])
    assert afresh.exit_code == 0
    # Nothing is cut, so there is room for no process that cuts.
    # Nothing is cut, and there is no room for a process that cuts, which takes 0.3 GiB.
    assert abs(_gib(first) - _gib(afresh)) < 0.15
    indexed, made = records(tmp_path / "indexed"), records(new)
    assert {id_: json.loads(one.pop("metadata")) for id_, one in made.items()} == {
        id_: {"n": place} for place, id_ in enumerate(paths)
    }
    assert made == {
        id_: {key: value for key, value in one.items() if key != "metadata"} for id_, one in indexed.items()
    }


@pytest.mark.slow
def test_cut_short_and_whole_films_are_made_as_they_are_indexed(
    bundle: Bundle, old: Old, clips: list, tmp_path: Path
) -> None:
    """Of every kind of film the new records are those of indexing afresh, one larger than a request among them."""
    films = tmp_path / "films"
    films.mkdir()
    scenes = [lasting(pictures(clip.video), 24) for clip in clips[:5]]
    write_film(films / "cut.mp4", scenes[:3])
    write_film(films / "shots.mp4", [scenes[0], scenes[3], scenes[4]])
    write_film(films / "large.mp4", scenes, crf=1)
    write_film(films / "short.mp4", scenes[:1])
    write_film(films / "whole.mp4", scenes[1:3])
    limit = (films / "large.mp4").stat().st_size // 2 + (96 << 10)
    assert all(path.stat().st_size < limit for path in films.iterdir() if path.name != "large.mp4")
    assert (films / "large.mp4").stat().st_size > limit
    cuts = {
        **dict.fromkeys(("cut.mp4", "large.mp4"), Cutting(2, 0.5)),
        "shots.mp4": Cutting(1.5, shots=0.2),
        "short.mp4": Cutting(60),
    }
    gallery, new = old({path.name: path for path in sorted(films.iterdir())}, cuts), tmp_path / "new"
    options = ["--video-limit", f"bytes={limit}"]
    done = _migrate(gallery, new, "--bundle", bundle.root, *options)
    assert done.exit_code == 0, done.output
    taken = _gib(done)
    again = _migrate(gallery, new, "--bundle", bundle.root, *options)
    assert (again.exit_code, "processes" in again.stderr) == (0, False)
    fresh = ["--bundle", str(bundle.root), "--gallery", str(tmp_path / "fresh"), "--jobs", "1", "--no-cache", *options]
    for id_, how in {
        "cut.mp4": ["--segment-seconds", "2", "--overlap", "0.5"],
        "large.mp4": ["--segment-seconds", "2", "--overlap", "0.5"],
        "short.mp4": ["--segment-seconds", "60"],
        "whole.mp4": [],
    }.items():
        indexed = CliRunner().invoke(main, ["index", str(films / id_), *fresh, *how])
        assert indexed.exit_code == 0, indexed.output
    # The last one cuts nothing.
    assert taken > _gib(indexed)
    made, wanted = segments(new), segments(tmp_path / "fresh")
    assert {key: row for key, row in made.items() if key[0] != "shots.mp4"} == wanted
    assert len([id_ for id_, _ in made if id_ == "large.mp4"]) > 3
    assert len([id_ for id_, _ in made if id_ == "short.mp4"]) == 1
    # Shots begin where the scenes do.
    starts = sorted(row["start"] for (id_, _), row in made.items() if id_ == "shots.mp4")
    assert {0.0, 24 / FRAME_RATE, 48 / FRAME_RATE} <= {round(float.fromhex(start), 3) for start in starts}


def segments(folder: Path) -> dict[tuple[str, int], dict[str, object]]:
    """What a gallery holds of every record but its metadata and when it came, by id and number."""
    reader = Gallery.existing(folder).reader()
    wanted = [name for name in reader.schema.columns if name not in ("id", "metadata", SEQUENCE, INDEXED_AT)]
    return {
        (row["id"], row["segment"]): {name: bits(row[name]) for name in wanted}
        for batch in reader.batches(wanted)
        for row in batch.to_pylist()
    }


@pytest.mark.slow
def test_feature_files_too(bundles: Path, old: Old, tmp_path: Path) -> None:
    bundle = small_bundle("howto100m", bundles)
    generator = torch.Generator().manual_seed(5)
    system = eager_system(bundle)
    paths = {f"v{place}": tmp_path / f"v{place}.safetensors" for place in range(3)}
    for path in paths.values():
        path.write_bytes(write_tensors(dict(system.random_arrays(generator))))
    new = tmp_path / "new"
    done = _migrate(old(paths), new, "--bundle", bundle.root)
    assert done.exit_code == 0, done.output
    found = records(new)
    assert found.keys() == paths.keys()
    assert {one["source"] for one in found.values()} == set(map(str, paths.values()))


def test_what_can_not_be_is_refused_before_anything_is_made(
    bundle: Bundle, old: Old, clips: list, tmp_path: Path
) -> None:
    gallery = old({"a": clips[0].video})
    assert _migrate(gallery, tmp_path / "new", "--bundle", bundle.root, "--to", "next").exit_code == 2
    absent = _migrate(tmp_path / "none", tmp_path / "new", "--bundle", bundle.root)
    assert absent.output.startswith("Error: there is no gallery in")
    away = _migrate(gallery, tmp_path / "new", "--bundle", bundle.root, "--alias", "a", "--server", "127.0.0.1:9")
    assert "Error: no answer from 127.0.0.1:9" in away.output
    same = _migrate(tmp_path / "new", tmp_path / "newer", "--bundle", bundle.root)
    assert "was made by the model of" in same.output
    assert not (tmp_path / "newer").exists()


def test_galleries_in_shards_are_refused_with_what_to_do(bundle: Bundle, old: Old, clips: list, tmp_path: Path) -> None:
    gallery, three = old({"a": clips[0].video}), tmp_path / "three"
    divide(sources_of(gallery), three, 3, lambda rows: None)
    of = _migrate(three, tmp_path / "new", "--bundle", bundle.root)
    assert (of.exit_code, (tmp_path / "new").exists()) == (1, False)
    assert f"`framesift gallery split {three} OUT --shards 1`, and name OUT/shard-0" in of.output
    into = _migrate(gallery, three, "--bundle", bundle.root)
    assert into.exit_code == 1
    assert "name a new folder, and split the gallery in it with `framesift gallery split`" in into.output
